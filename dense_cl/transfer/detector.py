"""Start a detector from a file: its backbone, and its neck and box head if the file brings them.

In C4 detectors the last stage of the backbone sits in the RoI head (``roi_head.shared_head``). It
is loaded from the same file, and the backbone matches only if both together do.
"""

from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from dense_cl.errors import DenseCLError
from dense_cl.transfer.loading import MatchReport, compare, first_keys, load_backbone_weights
from dense_cl.transfer.weights_file import read_weights

# Their sizes depend on the classes, so they are never pretrained.
_PREDICTORS = ("fc_cls.", "fc_reg.")
SHARED_HEAD = "roi_head.shared_head"
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
        How the keys compare, by the name of the part in the detector; the stage of a C4 detector's
        RoI head is a part of its own.

    Raises:
        DenseCLError: the backbone or a part is not a full match; the detector is untouched.
    """
    parts = {} if backbone_only else read_weights(file).detector
    reports = {name: _match(detector, name, tensors, file) for name, tensors in parts.items()}
    backbone = _load_backbone(detector, file)
    for name, tensors in parts.items():
        module = detector.get_submodule(name)
        module.load_state_dict({**module.state_dict(), **tensors})
    return {**backbone, **reports}


class ResNetWithSharedHead(nn.Module):
    """The stages of a C4 detector's backbone and those of its RoI head, as one ResNet.

    The same layers, not copies; only what a ResNet has: a norm layer that the RoI head may have
    behind its stage is new.

    Args:
        backbone: the first stages.
        shared_head: MMDetection's ``ResLayer``.
    """

    def __init__(self, backbone: nn.Module, shared_head: nn.Module) -> None:
        super().__init__()
        stages = {n: m for n, m in shared_head.named_children() if n.startswith("layer")}
        for name, module in {**dict(backbone.named_children()), **stages}.items():
            self.add_module(name, module)
        self.shared_keys = tuple(key for key in self.state_dict() if key.split(".")[0] in stages)


def _load_backbone(detector: nn.Module, file: str | Path) -> dict[str, MatchReport]:
    backbone = detector.get_submodule("backbone")
    shared_head = dict(detector.named_modules()).get(SHARED_HEAD)
    if shared_head is None:
        return {"backbone": load_backbone_weights(backbone, file, quiet=True)}
    whole = ResNetWithSharedHead(backbone, shared_head)
    report = load_backbone_weights(whole, file, quiet=True)
    shared = tuple(key for key in report.matched if key in whole.shared_keys)
    first = tuple(key for key in report.matched if key not in whole.shared_keys)
    return {
        "backbone": replace(report, matched=first),
        SHARED_HEAD: replace(report, matched=shared, unused=()),
    }


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
