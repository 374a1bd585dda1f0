"""Which images a task has: no two splits the same ones, and the same ones for all methods."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dense_cl.errors import DenseCLError


def check_disjoint(sets: Mapping[str, Sequence[str | Path]]) -> None:
    """Check that no image is in two sets: what was learnt by heart would count as understood.

    Args:
        sets: files by what messages call their set.

    Raises:
        DenseCLError: names the first image that is in two, whatever path leads to it.
    """
    owner: dict[str, str] = {}
    for what, files in sets.items():
        for file in files:
            other = owner.setdefault(os.path.realpath(file), what)
            if other != what:
                raise DenseCLError(
                    f"image '{file}' is among the {other} images and among the {what} images, so"
                    " the score would be of what was seen before. Give sets that share no image."
                )


def check_distinct(files: Sequence[str | Path]) -> None:
    """Check that no image comes twice: as example and as question, it would be its own answer.

    Raises:
        DenseCLError: names the first that does.
    """
    seen: set[str] = set()
    for file in files:
        place = os.path.realpath(file)
        if place in seen:
            raise DenseCLError(f"image '{file}' is there twice. Give each image once.")
        seen.add(place)


def identity(lines: Iterable[str]) -> str:
    """Return 16 hexadecimal digits that tell one list of names from another."""
    digest = hashlib.sha256()
    for number, line in enumerate(lines):  # one by one: the labels of a large set are long
        digest.update(b"\n" * (number > 0) + line.encode())
    return digest.hexdigest()[:16]
