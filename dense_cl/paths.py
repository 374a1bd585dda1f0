"""Where the packaged recipes are, how one is found by name, and what files a folder has."""

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dense_cl.errors import DenseCLError, nearest

_PACKAGE = Path(__file__).resolve().parent


def configs_dir() -> Path:
    """Return the folder of recipes: inside an installed package, else beside it in a checkout."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


def find_config(name: str | Path) -> Path:
    """Return the file of a recipe.

    Args:
        name: a path, or the bare name of a recipe leaf, with or without ``.py``.

    Raises:
        DenseCLError: no such file, and no recipe of that name; names the nearest one.
    """
    path = Path(name)
    if path.is_file():
        return path
    leaves = {p.stem: p for p in sorted(configs_dir().rglob("*.py")) if "_base_" not in p.parts}
    if path.stem in leaves and len(path.parts) == 1:
        return leaves[path.stem]
    raise DenseCLError(
        f"config '{name}' is neither a file nor a recipe.{nearest(path.stem, leaves)}"
    )


def check_folder(folder: str | Path) -> None:
    """Check that files can be written into a folder; make it.

    Raises:
        DenseCLError: they cannot.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DenseCLError(
            f"work folder '{folder}' cannot be written to ({error.strerror}). Choose another one."
        ) from None


def files_below(
    folder: str | Path, endings: tuple[str, ...], repeated: bool = False
) -> Iterator[str]:
    """Yield the files of a folder and its subfolders, as paths below it, in no particular order.

    What is hidden (a leading dot) is left out. Linked folders are followed.

    Args:
        folder: where to look.
        endings: of the names that count, in small letters.
        repeated: whether a folder that can be reached in several ways, as by two links, is found
            under all of its names instead of one; its own place comes before a link's.

    Raises:
        DenseCLError: a folder cannot be listed.
    """
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    linked: list[tuple[str, frozenset[tuple[int, int]]]] = []
    visited: set[tuple[int, int]] = set()
    while pending or linked:
        relative, above = pending.pop() if pending else linked.pop()
        path = os.path.join(folder, relative)
        try:
            status = os.stat(path)
            place = status.st_dev, status.st_ino
            if place in (above if repeated else visited):  # a loop of links, or linked twice
                continue
            visited.add(place)
            entries = sorted(os.scandir(path), key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            if relative and error.errno == errno.ENOENT:
                continue  # removed meanwhile
            raise DenseCLError(
                f"folder '{path}' cannot be listed: {error.strerror}. Give it read permission."
            ) from None
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.name.lower().endswith(endings):
                yield relative + entry.name
            elif _is_folder(entry):
                found = linked if entry.is_symlink() else pending
                found.append((f"{relative}{entry.name}/", above | {place}))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False
