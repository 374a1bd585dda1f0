"""Checkpoint files: written atomically, read without ever running code from them."""

import contextlib
import os
import pickle
import re
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError

POINTER = "last_checkpoint"
FOLDER = "checkpoints"
_NUMBERED = re.compile(r"iter_(\d+)\.pth")


class CorruptCheckpointError(DenseCLError):
    """The file is truncated, damaged or not a checkpoint at all."""


class UnsafeCheckpointError(DenseCLError):
    """The file holds more than tensors and plain values, and loading it could run code."""


def save_checkpoint(obj: Mapping[str, Any], path: str | Path) -> Path:
    """Write ``obj`` so that ``path`` is, at every instant, the old file or the whole new one.

    The bytes go to a temporary file in the same folder, are flushed to the disk, and take the
    name in one step; then the folder is flushed, so that the name survives a power cut.

    Args:
        obj: nested dicts, lists and tuples of tensors and plain values (numbers, strings,
            bools, None). Anything else is refused here rather than when it is loaded.
        path: the file to write; its folder is created.

    Raises:
        TypeError: something in ``obj`` could not be loaded with ``weights_only=True``.
    """
    path = Path(path)
    plain = _plain(obj, "checkpoint")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _atomic(path) as stream:
        torch.save(plain, stream)
    return path


def load_checkpoint(path: str | Path, map_location: str | torch.device = "cpu") -> dict[str, Any]:
    """Read a checkpoint with ``torch.load(weights_only=True)``; there is no other way in.

    Raises:
        DenseCLError: no such file.
        UnsafeCheckpointError: the file would run code or build objects when unpickled.
        CorruptCheckpointError: the file is empty, cut short, damaged or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise DenseCLError(f"checkpoint '{path}' does not exist.")
    try:
        content = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise _unpickling_error(path, error) from None
    except Exception as error:  # a damaged archive surfaces as whatever the parser met first
        reason = str(error).split("\n")[0] or type(error).__name__
        raise CorruptCheckpointError(
            f"checkpoint '{path}' is truncated or damaged ({reason}). Use an earlier checkpoint."
        ) from None
    if not isinstance(content, dict):
        raise CorruptCheckpointError(
            f"checkpoint '{path}' holds a {type(content).__name__}, not a dict of named entries."
        )
    return content


def _unpickling_error(path: Path, error: pickle.UnpicklingError) -> DenseCLError:
    """Tell a pickle that asks for code from bytes that are no pickle."""
    asked = re.search(r"(?:GLOBAL|global|class|function) ([\w.]+)", str(error))
    if "Unsupported" in str(error) or (asked and "." in asked.group(1)):
        what = f" ({asked.group(1)})" if asked and "." in asked.group(1) else ""
        return UnsafeCheckpointError(
            f"checkpoint '{path}' is refused: it is a pickle that builds objects or runs code"
            f"{what}, not only tensors and plain values. Do not load it; get the file again from "
            "a source you trust, in a format without code, such as .safetensors."
        )
    return CorruptCheckpointError(f"checkpoint '{path}' is damaged or not a checkpoint.")


def write_pointer(work_dir: str | Path, checkpoint: str | Path) -> None:
    """Record ``checkpoint`` as the latest of ``work_dir``, relative so that the folder can move."""
    work_dir = Path(work_dir)
    with _atomic(work_dir / POINTER) as stream:
        stream.write(os.path.relpath(checkpoint, work_dir).encode())


def find_checkpoints(work_dir: str | Path) -> list[Path]:
    """Return the checkpoints of a run, the one to try first in front.

    That is the one ``last_checkpoint`` names, then the others from the latest iteration down.
    """
    work_dir = Path(work_dir)
    numbered = sorted(
        (path for path in (work_dir / FOLDER).glob("iter_*.pth") if _NUMBERED.match(path.name)),
        key=_iteration,
        reverse=True,
    )
    pointer = work_dir / POINTER
    if pointer.is_file():
        named = work_dir / pointer.read_text().strip()
        if named.is_file():
            return [named, *(path for path in numbered if path != named)]
    return numbered


def remove_old(work_dir: str | Path, keep: int) -> None:
    """Delete all but the ``keep`` latest checkpoints, and what a killed writer left behind."""
    folder = Path(work_dir) / FOLDER
    for path in [*find_checkpoints(work_dir)[keep:], *folder.glob(".*.tmp")]:
        path.unlink(missing_ok=True)


def _iteration(path: Path) -> int:
    match = _NUMBERED.match(path.name)
    return int(match.group(1)) if match else -1


@contextlib.contextmanager
def _atomic(path: Path) -> Any:
    """Open a stream whose content appears at ``path`` at once when the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _plain(value: Any, where: str) -> Any:
    """Return ``value`` as what ``weights_only=True`` accepts, tensors on the CPU."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        # A view would drag its whole storage into the file.
        whole = value.untyped_storage().nbytes() == value.numel() * value.element_size()
        return value if whole else value.clone()
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, Mapping):
        return {_plain(k, where): _plain(v, f"{where}[{k!r}]") for k, v in value.items()}
    if isinstance(value, list | tuple):
        items = [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    raise TypeError(
        f"{where} is a {type(value).__name__}; checkpoints hold tensors and plain values only"
    )
