"""From a pretraining checkpoint to the files that other libraries load.

``<out>.pth`` holds ``{'state_dict': ..., 'meta': ...}`` and ``<out>.safetensors`` the same tensors,
with ``meta`` as JSON strings in its header. Keys are those of the library the backbone comes from:
torchvision's for ``ResNet`` (``layer1.0.conv1.weight``), timm's for ``TimmBackbone``, MMDetection's
for ``mmdet.X``.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from dense_cl.engine.checkpoint import load_checkpoint, save_checkpoint
from dense_cl.errors import DenseCLError
from dense_cl.transfer.loading import full_match, rebuild
from dense_cl.transfer.weights_file import FORMAT

_PREFIX = "backbone."
# What a checkpoint must say about itself for its backbone to be usable without guessing.
_REQUIRED = ("architecture", "normalization")


def export_backbone(checkpoint: str | Path, out: str | Path) -> tuple[Path, Path]:
    """Write the online backbone of a pretraining checkpoint as ``.pth`` and ``.safetensors``.

    The backbone is rebuilt from the checkpoint's own description and must match the weights
    completely, so a file that is written is a file that loads.

    Args:
        checkpoint: file written by ``dense-cl pretrain``.
        out: where to write; a ``.pth`` or ``.safetensors`` ending is dropped and both are written,
            each atomically.

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
        key.removeprefix(prefix): value.clone(memory_format=torch.contiguous_format)
        for key, value in state_dict.items()
        if key.startswith(_PREFIX)
    }
    full_match(backbone, weights, str(checkpoint))

    base = Path(out)
    if base.suffix in (".pth", ".safetensors"):
        base = base.with_suffix("")
    paths = Path(f"{base}.pth"), Path(f"{base}.safetensors")
    save_checkpoint({"state_dict": weights, "meta": meta}, paths[0])
    _save_safetensors(weights, meta, paths[1])
    return paths


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


def _save_safetensors(weights: dict[str, Tensor], meta: Mapping[str, Any], path: Path) -> None:
    """Write atomically; every metadata value is a JSON string, which is all the format takes."""
    with _replacing(path) as temporary:
        save_file(weights, temporary, {key: json.dumps(value) for key, value in meta.items()})


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder that takes the name ``path`` if all goes well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        yield temporary
        os.replace(temporary, path)
