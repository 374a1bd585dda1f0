"""What methods made of the same images, side by side, where their records name pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.examples import PHOTO
from dense_cl.report.compare_file import Result
from dense_cl.report.compare_runs import is_number
from dense_cl.report.draw import Picture, encode, tile
from dense_cl.sources.selection import evenly_spread

_SHOWN, _HEIGHT = 4, 160


def pictures(results: Sequence[Result], score: str, control: str) -> dict[str, bytes]:
    """Draw the pictures that records of a task name: a row by image, a column by method.

    A record names them as ``"pictures": {"segmentation": "masks/7.png", ...}``, relative to its
    result file. The kind "photo" is the image itself, which is shown beside the others. Of several
    seeds the first counts. Where the records have the score by image, the images are those where
    the first method is farthest below the control and farthest above it, and two between; else
    they are evenly spread. So they are no choice of the prettiest.

    Args:
        results: of one task.
        score: what images are ordered by.
        control: method that the others are compared with.

    Returns:
        JPEG by kind of picture; empty if no record names any.

    Raises:
        DenseCLError: a picture that a record names cannot be read.
    """
    first: dict[str, Result] = {}
    for result in results:
        first.setdefault(result.method, result)
    named = {
        method: {
            image: _named(record) for image, record in result.records.items() if _named(record)
        }
        for method, result in first.items()
    }
    drawn = {}
    kinds = dict.fromkeys(k for by in named.values() for pics in by.values() for k in pics)
    for kind in (kind for kind in kinds if kind != PHOTO):
        methods = [m for m, by in named.items() if any(kind in pics for pics in by.values())]
        images = sorted(
            set.intersection(
                *({i for i, pics in named[m].items() if kind in pics} for m in methods)
            )
        )
        if not images:
            continue
        rows = []
        for image in _chosen(images, [first[m] for m in methods], score, control):
            places = [first[m].file.parent / named[m][image][kind] for m in methods]
            if PHOTO in named[methods[0]][image]:
                places.insert(0, first[methods[0]].file.parent / named[methods[0]][image][PHOTO])
            rows.append([_small(place) for place in places])
        titles = methods if len(rows[0]) == len(methods) else ["image", *methods]
        drawn[kind] = encode(tile(rows, titles))
    return drawn


def _named(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the pictures of a record; reading it joined their names with dots."""
    start = "pictures."
    return {k.removeprefix(start): str(v) for k, v in record.items() if k.startswith(start)}


def _chosen(
    images: Sequence[str], results: Sequence[Result], score: str, control: str
) -> list[str]:
    ordered = list(images)
    base = next((r for r in results if r.method == control), None)
    other = next((r for r in results if r.method != control), None)
    both = [r for r in (base, other) if r]
    if base and other and all(is_number(r.records[i].get(score)) for r in both for i in images):
        ordered.sort(key=lambda i: other.records[i][score] - base.records[i][score])
    return [ordered[place] for place in evenly_spread(len(ordered), _SHOWN)]


def _small(file: Path) -> Picture:
    try:
        with Image.open(file) as picture:
            content = picture.convert("RGB")
    except (OSError, ValueError) as error:
        raise DenseCLError(
            f"picture '{file}' of a record cannot be read ({error}). Put it back beside its result,"
            ' or take "pictures" out of the records.'
        ) from None
    width = max(1, round(content.width * _HEIGHT / content.height))
    return np.asarray(content.resize((width, _HEIGHT), Image.Resampling.BILINEAR))
