"""From a pretraining checkpoint to the files that other libraries load.

``<out>.pth`` holds ``{'state_dict': ..., 'meta': ...}`` and ``<out>.safetensors`` the same tensors,
with ``meta`` as JSON strings in its header. Keys are those of the library the backbone comes from:
torchvision's for ``ResNet`` (``layer1.0.conv1.weight``), timm's for ``TimmBackbone``, MMDetection's
for ``mmdet.X``. Parts of a detector that were pretrained along follow as ``detector.*``, with
MMDetection's keys behind it; whoever reads the backbone does not see them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dense_cl.engine.checkpoint import load_checkpoint
from dense_cl.errors import DenseCLError
from dense_cl.models.layers import describe_layers
from dense_cl.transfer.encoder import HEAD_PREFIX, head_of_checkpoint
from dense_cl.transfer.loading import full_match, rebuild
from dense_cl.transfer.weights_file import (
    DETECTOR_PARTS,
    FORMAT,
    detector_parts,
    write_weights,
)

_PREFIX = "backbone."
_DETECTOR = "detector"
# What a checkpoint must say about itself for its backbone to be usable without guessing.
_REQUIRED = ("architecture", "normalization")


def export_backbone(
    checkpoint: str | Path, out: str | Path, head_layers: int = 0
) -> tuple[Path, Path]:
    """Write the online backbone of a pretraining checkpoint as ``.pth`` and ``.safetensors``.

    With it go the parts of a detector that an objective trained (``Objective.detector_parts``). The
    backbone is rebuilt from the checkpoint's own description and must match the weights
    completely, so a file that is written is a file that loads.

    Args:
        checkpoint: file written by ``dense-cl pretrain``.
        out: where to write; a ``.pth`` or ``.safetensors`` ending is dropped and both are written,
            each atomically.
        head_layers: linear layers of the projection head to write behind the backbone, for
            ``dense_cl.transfer.encoder.load_encoder`` (SimCLR v2 fine-tunes from the first).

    Returns:
        The paths of the ``.pth`` and of the ``.safetensors`` file.

    Raises:
        DenseCLError: missing, damaged or unsafe file, or not a pretraining checkpoint.
    """
    content = load_checkpoint(checkpoint)
    state_dict, source_meta = _parts(content, checkpoint)
    meta = metadata(source_meta)
    backbone = rebuild(meta["architecture"], checkpoint)
    prefix = _PREFIX + getattr(backbone, "weights_prefix", "")
    weights = {
        key.removeprefix(prefix): value
        for key, value in state_dict.items()
        if key.startswith(_PREFIX)
    }
    full_match(backbone, weights, str(checkpoint))

    parts = detector_parts(state_dict, source_meta.get(DETECTOR_PARTS) or {})
    for name, tensors in parts.items():
        weights |= {f"{_DETECTOR}.{name}.{key}": value for key, value in tensors.items()}
    if parts:
        meta[DETECTOR_PARTS] = {f"{_DETECTOR}.{name}": name for name in parts}
    if head_layers:
        head = head_of_checkpoint(content, head_layers, str(checkpoint))
        weights |= {HEAD_PREFIX + key: value for key, value in head.state_dict().items()}
        meta["head"] = describe_layers(head)
    return write_weights(weights, meta, out)


def metadata(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata block of an export from that of a checkpoint."""
    return {
        "format": FORMAT,
        "method": meta.get("method"),
        "architecture": dict(meta["architecture"]),
        "normalization": dict(meta["normalization"]),
        "config_hash": meta.get("config_hash"),
        "data_fingerprint": meta.get("data_fingerprint"),
        "versions": dict(meta.get("versions") or {}),
        "iter": meta.get("iter"),
        "epoch": meta.get("epoch"),
        "seed": meta.get("seed"),
    }


def _parts(content: Mapping[str, Any], file: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Return state dict and metadata of a checkpoint, or say what the file is instead."""
    state_dict, meta = content.get("state_dict"), content.get("meta")
    state_dict = dict(state_dict) if isinstance(state_dict, Mapping) else {}
    meta = dict(meta) if isinstance(meta, Mapping) else {}
    if meta.get("format") == FORMAT:
        raise DenseCLError(
            f"'{file}' is an exported backbone already; give it to 'dense-cl finetune' as it is."
        )
    missing = [f"meta['{key}']" for key in _REQUIRED if not meta.get(key)]
    if not any(key.startswith(_PREFIX) for key in state_dict):
        missing.append(f"weights named '{_PREFIX}*'")
    if missing:
        raise DenseCLError(
            f"'{file}' is not a checkpoint of 'dense-cl pretrain': it lacks {', '.join(missing)}. "
            "Weights from elsewhere need no export: 'dense-cl finetune --backbone' reads them."
        )
    return state_dict, meta
