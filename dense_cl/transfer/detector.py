"""Start a detector from a file: its backbone, and its neck and box head if the file brings them."""

from pathlib import Path

from torch import Tensor, nn

from dense_cl.errors import DenseCLError
from dense_cl.transfer.loading import MatchReport, compare, first_keys, load_backbone_weights
from dense_cl.transfer.weights_file import read_weights

# Their sizes depend on the classes, so they are never pretrained.
_PREDICTORS = ("fc_cls.", "fc_reg.")
_MEND = "Take a recipe with the pretrained layers, or the backbone alone: --backbone-only."


def load_detector_weights(
    detector: nn.Module, file: str | Path, backbone_only: bool = False
) -> dict[str, MatchReport]:
    """Load the backbone and all other parts that a file brings, each completely or nothing at all.

    Args:
        detector: of MMDetection, with a ``backbone``.
        file: anything ``read_weights`` accepts; ``Weights.detector`` are the other parts.
        backbone_only: leave the other parts out.

    Returns:
        How the keys compare, by the name of the part in the detector.

    Raises:
        DenseCLError: the backbone or a part is not a full match; the detector is untouched.
    """
    parts = {} if backbone_only else read_weights(file).detector
    reports = {name: _match(detector, name, tensors, file) for name, tensors in parts.items()}
    backbone = load_backbone_weights(detector.get_submodule("backbone"), file, quiet=True)
    for name, tensors in parts.items():
        module = detector.get_submodule(name)
        module.load_state_dict({**module.state_dict(), **tensors})
    return {"backbone": backbone, **reports}


def _match(
    detector: nn.Module, name: str, tensors: dict[str, Tensor], file: str | Path
) -> MatchReport:
    try:
        own = detector.get_submodule(name).state_dict()
    except AttributeError:
        raise DenseCLError(
            f"'{file}' brings a pretrained {name}, and the {type(detector).__name__} has none."
            f" {_MEND}"
        ) from None
    own = {key: value for key, value in own.items() if not key.startswith(_PREDICTORS)}
    report = compare(own, tensors, allow_classifier=False)
    if report.full:
        return report
    raise DenseCLError(
        f"{name} of '{file}' does not match the detector's: {report}. {first_keys(report)} {_MEND}"
    )
