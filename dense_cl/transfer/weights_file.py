"""Read backbone weights from the files people have, without running code; write our own."""

import contextlib
import json
import os
import pickle
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dense_cl.engine.checkpoint import load_checkpoint, save_checkpoint
from dense_cl.errors import DenseCLError

FORMAT = "dense_cl.backbone"
DETECTOR_PARTS = "detector_parts"  # in the metadata
TORCHVISION = "torchvision"  # in place of a file

# Where the encoder sits in the files that are understood: prefix of its keys, who writes them so.
# The longest prefix that occurs wins over those it begins with; two that are unrelated are refused.
LAYOUTS = {
    "backbone.": "a checkpoint of dense_cl, MMDetection or MMPretrain",
    "backbone.model.": "a TimmBackbone in a checkpoint of dense_cl or MMDetection",
    "module.": "saved from DistributedDataParallel",
    "module.backbone.": "a checkpoint of MMDetection, saved from DistributedDataParallel",
    "encoder_q.": "MoCo v1/v2, the encoder that is trained",
    "module.encoder_q.": "MoCo v1/v2, the encoder that is trained",
    "base_encoder.": "MoCo v3, the encoder that is trained",
    "module.base_encoder.": "MoCo v3, the encoder that is trained",
}
_PLAIN = "plain keys, as torchvision, timm and dense_cl exports have"
_NESTED = ("state_dict", "model")  # where training scripts keep the weights in a checkpoint


@dataclass(frozen=True)
class Weights:
    """Backbone weights as they were found in a file.

    Attributes:
        file: the file.
        state_dict: tensors by key, the layout's prefix removed; heads may still be among them.
        meta: metadata block of a dense_cl export or checkpoint, empty for files from elsewhere.
        layout: which known layout the file has, for messages.
        detector: tensors of other parts of a detector, by the part's name in MMDetection's
            detector ('neck', 'roi_head.bbox_head') and their key in it. They are not in
            ``state_dict``.
    """

    file: Path
    state_dict: dict[str, Tensor]
    meta: dict[str, Any]
    layout: str
    detector: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def read_weights(file: str | Path) -> Weights:
    """Read backbone weights.

    Accepts ``.safetensors``, and everything ``torch.load(weights_only=True)`` reads: a state dict,
    or a dict with one under ``state_dict`` or ``model``. Keys may be plain or begin with one of
    ``LAYOUTS``.

    Raises:
        DenseCLError: missing, damaged, unsafe (a pickle that builds objects), without weights, or
            with two encoders of which it cannot know the wanted one.
    """
    path = Path(file).expanduser()
    if path.is_dir():
        raise DenseCLError(f"backbone file '{file}' is a folder; give the backbone.pth in it.")
    if not path.is_file():
        raise DenseCLError(f"backbone file '{file}' does not exist.")
    if _is_safetensors(path):
        tensors, meta = _read_safetensors(path)
    else:
        tensors, meta = _read_pickle(path)
    places = meta.get(DETECTOR_PARTS) or {}
    inside = tuple(f"{place}." for place in places)
    encoder = {key: value for key, value in tensors.items() if not key.startswith(inside)}
    prefix = _prefix(encoder, path)
    state_dict = {
        key.removeprefix(prefix): value for key, value in encoder.items() if key.startswith(prefix)
    }
    parts = detector_parts(tensors, places)
    return Weights(path, state_dict, meta, LAYOUTS.get(prefix, _PLAIN), parts)


def detector_parts(
    tensors: Mapping[str, Tensor], places: Mapping[str, str]
) -> dict[str, dict[str, Tensor]]:
    """Pick the parts of a detector out of a file's tensors.

    Args:
        tensors: by key.
        places: where each part is in the file: its name in the detector; ``DETECTOR_PARTS`` of the
            metadata.
    """
    return {
        name: {
            key.removeprefix(f"{place}."): value
            for key, value in tensors.items()
            if key.startswith(f"{place}.")
        }
        for place, name in places.items()
    }


def _prefix(tensors: Mapping[str, Tensor], path: Path) -> str:
    """Return the one prefix of ``LAYOUTS`` under which the encoder sits, or ''."""
    present = [prefix for prefix in LAYOUTS if any(key.startswith(prefix) for key in tensors)]
    longest = [p for p in present if not any(q != p and q.startswith(p) for q in present)]
    if len(longest) > 1:
        raise DenseCLError(
            f"'{path}' holds several encoders ({', '.join(longest)}). Save the one you want as a"
            " plain state dict."
        )
    return longest[0] if longest else ""


def _is_safetensors(path: Path) -> bool:
    """Tell by content: eight bytes of header length, then the JSON header."""
    with path.open("rb") as stream:
        head = stream.read(9)
    if len(head) < 9 or head[8:] != b"{":
        return False
    return struct.unpack("<Q", head[:8])[0] < path.stat().st_size


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as stream:
            strings = stream.metadata() or {}
            tensors = {key: stream.get_tensor(key) for key in stream.keys()}
    except SafetensorError as error:
        raise DenseCLError(f"'{path}' is a damaged .safetensors file ({error}).") from None
    # Other writers put plain strings into their metadata; only our own block is JSON.
    ours = FORMAT in strings.get("format", "")
    return tensors, {key: json.loads(value) for key, value in strings.items()} if ours else {}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ours or of MMEngine's, as data only.

    Raises:
        DenseCLError: missing, damaged, or a pickle that builds other objects.
    """
    # MMEngine's checkpoints keep log histories (NumPy arrays and its HistoryBuffer) beside the
    # weights; these few types hold data only. Its own list has ``getattr``, which gives a file
    # anything there is.
    core = np._core if hasattr(np, "_core") else np.core
    kinds = {type(np.dtype(name)) for name in ("uint32", "float64", "int64")}
    types = [core.multiarray._reconstruct, core.multiarray.scalar, np.ndarray, np.dtype, *kinds]
    with torch.serialization.safe_globals([*types, slice, HistoryBuffer, _statistic]):
        return load_checkpoint(path)


def _statistic(owner: Any, name: str) -> Any:
    """Return a method by which MMEngine's ``HistoryBuffer`` remembers how to summarise."""
    if owner is HistoryBuffer and name in ("min", "max", "mean", "current"):
        return getattr(owner, name)
    raise pickle.UnpicklingError(f"it asks for '{name}' of {owner}")


# What a checkpoint calls it.
_statistic.__module__, _statistic.__name__ = "builtins", "getattr"
_statistic.__qualname__ = "getattr"


def _read_pickle(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    content = read_checkpoint(path)
    nested = [key for key in _NESTED if isinstance(content.get(key), Mapping)]
    if len(nested) > 1:
        raise DenseCLError(f"'{path}' has weights under {' and '.join(nested)}; which are meant?")
    holder = content[nested[0]] if nested else content
    tensors = {k: v for k, v in holder.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if not tensors:
        raise DenseCLError(
            f"'{path}' holds no weights: its entries are {', '.join(map(str, list(content)[:8]))}."
        )
    meta = content.get("meta")
    if not isinstance(meta, Mapping) or not isinstance(meta.get("normalization"), Mapping):
        return tensors, {}
    # Without an architecture the rest is not ours, but what the weights expect still counts.
    ours = "architecture" in meta
    return tensors, dict(meta) if ours else {"normalization": meta["normalization"]}


def write_weights(
    tensors: Mapping[str, Tensor], meta: Mapping[str, Any], out: str | Path
) -> tuple[Path, Path]:
    """Write ``<out>.pth`` and ``<out>.safetensors`` with the same tensors and metadata.

    Args:
        tensors: by key.
        meta: plain values.
        out: a ``.pth`` or ``.safetensors`` ending is dropped; both files appear atomically.
    """
    base = Path(out)
    if base.suffix in (".pth", ".safetensors"):
        base = base.with_suffix("")
    paths = Path(f"{base}.pth"), Path(f"{base}.safetensors")
    dense = {
        key: value.detach().clone(memory_format=torch.contiguous_format)
        for key, value in tensors.items()
    }
    save_checkpoint({"state_dict": dense, "meta": dict(meta)}, paths[0])
    with replacing(paths[1]) as temporary:
        # Every metadata value is a JSON string, which is all the format takes.
        save_file(dense, temporary, {key: json.dumps(value) for key, value in meta.items()})
    return paths


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder that takes the name ``path`` if all goes well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())  # or a power cut may leave the name without the content
        os.replace(temporary, path)


def torchvision_file(depth: int | None) -> Path:
    """Return torchvision's ImageNet weights of a ResNet from the local cache.

    Raises:
        DenseCLError: there are none of this depth, or the file is not there.
    """
    from torchvision.models import get_model_weights

    try:
        url = get_model_weights(f"resnet{depth}").IMAGENET1K_V1.url
    except ValueError:
        raise DenseCLError(
            "--backbone torchvision is for ResNets of 18, 34, 50, 101 or 152 layers; others are "
            "files."
        ) from None
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if not file.is_file():
        raise DenseCLError(
            f"--backbone torchvision needs '{file}', which is not there, and nothing is downloaded"
            f" during a run. Put {url} there."
        )
    return file
