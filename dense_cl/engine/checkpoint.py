"""Checkpoint files: written atomically, read without ever running code from them."""

import contextlib
import os
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError

POINTER = "last_checkpoint"
FOLDER = "checkpoints"
# What torch itself asks for in a checkpoint of tensors.
_HARMLESS = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.(storage\.)?\w*Storage"
    r"|torch\.(Size|device|[a-z]+\d+\w*)|torch\.nn\.parameter\.Parameter"
)
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
    if path.is_dir():
        raise DenseCLError(f"checkpoint '{path}' is a folder; give the file in it that is meant.")
    if not path.is_file():
        raise DenseCLError(f"checkpoint '{path}' does not exist.")
    try:
        _check_sums(path)
        with warnings.catch_warnings():
            # torch remarks on the pickle protocol of files it then refuses; we say why instead.
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            content = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # a damaged file surfaces as whatever the parser met first
        asked = _code_in_pickle(path)
        if asked:
            raise UnsafeCheckpointError(
                f"checkpoint '{path}' is refused: it is a pickle that builds objects or runs code "
                f"({asked}), not only tensors and plain values. Do not load it; get the file again "
                "from a source you trust, in a format without code, such as .safetensors."
            ) from None
        # torch's first sentence; its next ones tell to unpickle the file after all
        reason = re.split(r"\n|\. ", str(error))[0] or type(error).__name__
        raise CorruptCheckpointError(
            f"checkpoint '{path}' is truncated or damaged ({reason}). Use an earlier checkpoint."
        ) from None
    if not isinstance(content, dict):
        raise CorruptCheckpointError(
            f"checkpoint '{path}' holds a {type(content).__name__}, not a dict of named entries."
        )
    return content


def _check_sums(path: Path) -> None:
    """Compare the archive's check sums, which ``torch.load`` does not look at."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"check sum of {damaged} is wrong")


def _code_in_pickle(path: Path) -> str:
    """Name the first callable that the file's pickle asks for and torch does not allow.

    The pickle is only disassembled. The empty string stands for a pickle that asks for none, and
    for files that are none.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                content = archive.read(name)
        else:
            content = path.read_bytes()
        strings: list[str] = []
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in ("GLOBAL", "INST"):
                asked = str(argument).replace(" ", ".")
            elif opcode.name == "STACK_GLOBAL":
                asked = ".".join(strings[-2:])
            else:
                strings += [argument] if isinstance(argument, str) else []
                continue
            if not _HARMLESS.fullmatch(asked):
                return asked
    except (ValueError, StopIteration, zipfile.BadZipFile, OSError):
        pass  # cut short or no pickle: nothing was found before that
    return ""


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
