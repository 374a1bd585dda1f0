"""Put weights into a backbone, completely or not at all."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from dense_cl.errors import DenseCLError
from dense_cl.transfer.weights_file import read_weights

_CLASSIFIERS = ("fc.", "head.", "classifier.", "head_dist.")
_REGISTERED = re.compile(r"((dense_cl|mmdet|mmcv|mmengine)\.)?[A-Za-z0-9_]+")
DOWNLOADS = ("pretrained", "init_cfg", "checkpoint_path")  # the weights come from the file
_BLOCKS_PER_STAGE: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}


@dataclass(frozen=True)
class MatchReport:
    """How the keys of a file and those of a backbone compare.

    Attributes:
        matched: same key, same shape.
        missing: the backbone has it, the file has not.
        unexpected: the file has it, the backbone has not.
        mismatched: both have it, with the shapes (file's, backbone's).
        unused: keys of the file's classifier and of layers that the backbone has removed behind
            its last map.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    unused: tuple[str, ...]

    @property
    def full(self) -> bool:
        """Whether the backbone gets all its weights from the file and nothing is left over."""
        return bool(self.matched) and not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        """Return the counts in one line."""
        counts = (
            f"{len(self.matched)} matched, {len(self.missing)} missing, "
            f"{len(self.unexpected)} unexpected, {len(self.mismatched)} mismatched"
        )
        return counts + (
            f", {len(self.unused)} behind the last map left out" if self.unused else ""
        )


def load_backbone(file: str | Path) -> nn.Module:
    """Rebuild an exported backbone with its weights, in training mode as any new module.

    Args:
        file: ``.pth`` or ``.safetensors`` written by ``dense-cl export`` (or at the end of
            ``dense-cl pretrain``), or a pretraining checkpoint.

    Returns:
        A module that maps (B, 3, H, W) RGB images, normalised as its attribute ``normalization``
        says (mean and std on the 0-255 scale), to a tuple of stage maps.

    Raises:
        DenseCLError: the file does not describe its architecture, or does not match it.
    """
    weights = read_weights(file)
    if "architecture" not in weights.meta:
        raise DenseCLError(
            f"'{file}' has no description of its architecture ({weights.layout}). Build the module"
            " yourself and use load_backbone_weights(module, file)."
        )
    backbone: Any = rebuild(weights.meta["architecture"], file)
    load_backbone_weights(backbone, file, quiet=True)
    backbone.normalization = dict(weights.meta["normalization"])
    return backbone


def load_backbone_weights(
    module: nn.Module, file: str | Path, allow_classifier: bool = True, quiet: bool = False
) -> MatchReport:
    """Load weights into ``module`` if they match it completely; print how they compare.

    Args:
        module: the backbone.
        file: anything ``read_weights`` accepts.
        allow_classifier: leave out a classifier the file has (``fc.``, ``head.``, ...), and other
            layers behind the last map that ``module`` says it has removed (``unused_weights``).
        quiet: print nothing.

    Raises:
        DenseCLError: not a full match; ``module`` is untouched. Names the first keys and, where it
            can be told, the reason.
    """
    weights = read_weights(file)
    report = full_match(module, weights.state_dict, str(file), allow_classifier)
    own_prefix = getattr(module, "weights_prefix", "")
    chosen = {own_prefix + key: weights.state_dict[key] for key in report.matched}
    # Files older than PyTorch 1.0 count no batches; the count is not used with a fixed momentum.
    module.load_state_dict({**module.state_dict(), **chosen})
    if not quiet:
        print(f"backbone '{file}' ({weights.layout}): {report}")
    return report


def full_match(
    module: nn.Module,
    state_dict: Mapping[str, Tensor],
    name: str,
    allow_classifier: bool = True,
) -> MatchReport:
    """Compare weights with a backbone and raise unless they match completely.

    Raises:
        DenseCLError: with the counts, the first keys and the likely reason.
    """
    prefix = getattr(module, "weights_prefix", "")
    own = {key.removeprefix(prefix): value for key, value in module.state_dict().items()}
    removed = getattr(module, "unused_weights", ())
    report = compare(own, state_dict, allow_classifier, removed)
    if report.full:
        return report
    mismatch = f"backbone '{name}' does not match the {type(module).__name__}: {report}."
    reason = likely_reason(own, state_dict, report)
    raise DenseCLError(f"{mismatch} {first_keys(report)} {reason}".strip())


def first_keys(report: MatchReport) -> str:
    """Return sentences that name the first keys of each kind that do not match."""
    sentences = []
    for title in ("missing", "unexpected", "mismatched"):
        keys = list(getattr(report, title))
        if keys:
            more = ", ..." if len(keys) > 3 else ""
            sentences.append(f"First {title}: {', '.join(keys[:3])}{more}.")
    return " ".join(sentences)


def compare(
    own: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    allow_classifier: bool = True,
    removed: Collection[str] = (),
) -> MatchReport:
    """Compare the tensors a backbone has with those a file gives; ``removed`` are not missed."""
    extra = [key for key in given if key not in own]
    unused = {k for k in extra if allow_classifier and (k.startswith(_CLASSIFIERS) or k in removed)}
    both = [key for key in own if key in given]
    return MatchReport(
        matched=tuple(key for key in both if own[key].shape == given[key].shape),
        missing=tuple(k for k in own if k not in given and not k.endswith("num_batches_tracked")),
        unexpected=tuple(key for key in extra if key not in unused),
        mismatched={
            key: (tuple(given[key].shape), tuple(own[key].shape))
            for key in both
            if own[key].shape != given[key].shape
        },
        unused=tuple(key for key in extra if key in unused),
    )


def likely_reason(
    own: Mapping[str, Tensor], given: Mapping[str, Tensor], report: MatchReport
) -> str:
    """Return a sentence on why weights do not match, or ''."""
    in_file, in_model = resnet_depth(given), resnet_depth(own)
    if in_file and in_model and in_file != in_model:
        return f"The file holds a ResNet-{in_file}, the model is a ResNet-{in_model}."
    for key, (file_shape, own_shape) in report.mismatched.items():
        if len(own_shape) == 4 and file_shape[1] != own_shape[1] and key.startswith("conv1"):
            taken = f"{file_shape[1]} channels, the model's {own_shape[1]}"
            return f"The file's first layer takes {taken}."
    if not report.matched:
        anchor = next(iter(own))
        for key in given:
            if key.endswith("." + anchor):
                return (
                    f"The file's keys begin with '{key.removesuffix(anchor)}', which is none of the"
                    " known layouts; save the encoder's own state_dict()."
                )
        return "The file holds another architecture."
    if report.mismatched:
        return (
            "The shapes are those of a relative (wider blocks, groups, other patches?); name the"
            " one that it is."
        )
    if all("running_" in key for key in report.missing) and not report.unexpected:
        return "The model has batch normalisation where the file has none (group normalisation?)."
    return ""


def resnet_depth(state_dict: Mapping[str, Tensor]) -> int | None:
    """Return the depth of the ResNet with these keys (torchvision's names), if it is one."""
    blocks = tuple(
        len({key.split(".")[1] for key in state_dict if key.startswith(f"layer{stage}.")})
        for stage in (1, 2, 3, 4)
    )
    return _BLOCKS_PER_STAGE.get((blocks, "layer1.0.conv3.weight" in state_dict))


def rebuild(architecture: Mapping[str, Any], file: str | Path) -> nn.Module:
    """Build the backbone that a metadata block describes, with random weights.

    Raises:
        DenseCLError: it is not a plain description of a registered backbone, or cannot be built
            with the libraries installed here.
    """
    from dense_cl.models import build_backbone

    cfg = {key: value for key, value in architecture.items() if key not in DOWNLOADS}
    refuse_foreign_types(cfg, file)
    try:
        return build_backbone(cfg)
    except DenseCLError as error:
        raise DenseCLError(f"'{file}' describes a backbone that cannot be built: {error}") from None


def refuse_foreign_types(description: Any, file: str | Path) -> None:
    """Check that a description out of a file names nothing but registered classes.

    The registry would import any dotted name, so that a file could name any function there is.

    Raises:
        DenseCLError: names the first one that is not.
    """
    for name in _types(description):
        if not _REGISTERED.fullmatch(name):
            raise DenseCLError(
                f"'{file}' is refused: its description names '{name}', which is no class of "
                "dense_cl or MMDetection."
            )


def _types(value: Any) -> Iterator[str]:
    """Yield every ``type`` in a nested description."""
    if isinstance(value, Mapping):
        if "type" in value:
            yield str(value["type"])
        for item in value.values():
            yield from _types(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _types(item)
