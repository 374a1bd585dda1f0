"""What boxes have to show, and how much of it lies in them, by integral images."""

import math
import random
from collections.abc import Sequence
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.views.crops import Box, LabelMap
from dense_cl.views.geometry import Size

Positions = Sequence[int] | NDArray[np.int64]
BoxGrid = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
Choice = Literal["area", "uniform", "largest"]
ROUNDING = 1e-9  # part by which sums of parts of pixels may be off
_PLACES = 64


class Cover:
    """Areas of a mask inside boxes of its image, exact to the fraction of a pixel.

    A mask of a lower resolution than the image counts as it is: its pixels are larger, and a box
    may cut them.

    Args:
        mask: (h, w) bool, not empty, of the whole image.
        source_size: height and width of the image.

    Attributes:
        area: of the mask, in square pixels of the image.
    """

    def __init__(self, mask: NDArray[np.bool_], source_size: Size) -> None:
        self._source_size = source_size
        self._scale = [m / s for m, s in zip(mask.shape, source_size, strict=True)]
        self._integral = cv2.integral(mask.view(np.uint8))
        self._pixel = 1 / (self._scale[0] * self._scale[1])
        self.area = float(self._integral[-1, -1]) * self._pixel

    def inside(self, box: Box) -> float:
        """Area of the mask inside a box (x1, y1, x2, y2), in square pixels of the image."""
        x1, y1, x2, y2 = box
        return float(self.areas([x1], [y1], [x2], [y2])[0, 0])

    def areas(
        self, x1: Positions, y1: Positions, x2: Positions, y2: Positions
    ) -> NDArray[np.float64]:
        """Area of the mask inside all boxes of X ranges of columns and Y ranges of rows.

        Returns:
            (Y, X) float64, in square pixels of the image.
        """
        band_YW = _at(self._integral, y2, self._scale[0]) - _at(self._integral, y1, self._scale[0])
        right_XY, left_XY = (_at(band_YW.T, x, self._scale[1]) for x in (x2, x1))
        return (right_XY - left_XY).T * self._pixel

    def bounding_box(self) -> Box:
        """Smallest box in whole pixels of the image that holds all of the mask."""
        (top, bottom), (left, right) = (
            _extent(self._integral[:, -1], self._scale[0], self._source_size[0]),
            _extent(self._integral[-1], self._scale[1], self._source_size[1]),
        )
        return left, top, right, bottom


def relaxed_cover(min_cover: float, min_scale: float, image_area: float, area: float) -> float:
    """Part of a salient area that a crop has to show: min(phi, s |I| / |M|).

    A crop of the smallest area cannot show more than the second of what is larger than itself. The
    rule of salesforce/CAST ``moco/augmentations/functional.py``.

    Args:
        min_cover: phi.
        min_scale: s, area of the smallest crop as a part of the image.
        image_area: |I|.
        area: |M|, of what is salient; same unit.
    """
    return min(min_cover, min_scale * image_area / area)


def chosen_mask(
    objects: LabelMap, choice: Choice | None, rng: random.Random
) -> NDArray[np.bool_] | None:
    """Return the mask of what boxes have to show, None if nothing is salient.

    Args:
        objects: (h, w) id of the salient object at each pixel, -1 for none.
        choice: None for all that is salient, or how one object is chosen: 'area' (with chances
            proportional to areas), 'uniform' or 'largest' (of several, that of the smallest id).
        rng: of the choice.
    """
    mask: NDArray[np.bool_] = objects >= 0
    if choice is None or not mask.any():
        return mask if mask.any() else None
    areas = np.bincount(objects[mask])
    if choice == "largest":
        return np.asarray(objects == areas.argmax())
    ids = np.flatnonzero(areas)
    weights = areas[ids].tolist() if choice == "area" else None
    return np.asarray(objects == rng.choices(ids.tolist(), weights)[0])


def require_choice(choice: str | None) -> None:
    """Raise a ``DenseCLError`` if there is no such way to choose an object."""
    if choice is not None and choice not in get_args(Choice):
        raise DenseCLError(
            f"component {choice!r}: give {', '.join(map(repr, get_args(Choice)))}, or None for all"
        )


def boxes_of_size(width: int, height: int, source_size: Size) -> BoxGrid:
    """Boxes of one size at evenly spread places of an image, at most 64 along each side.

    Returns:
        x1 (X,), y1 (Y,), x2 (X,), y2 (Y,) in whole pixels: box (i, j) has rows i, columns j.
    """
    y1, x1 = (
        np.linspace(0, room, min(room + 1, _PLACES)).round().astype(np.int64)
        for room in (source_size[0] - height, source_size[1] - width)
    )
    return x1, y1, x1 + width, y1 + height


def one_of(boxes: BoxGrid, will_do_YX: NDArray[np.bool_], rng: random.Random) -> Box | None:
    """Draw one of the boxes that will do, with equal chances; None if none does."""
    rows, columns = will_do_YX.nonzero()
    if not len(rows):
        return None
    place = rng.randrange(len(rows))
    x1, y1, x2, y2 = boxes
    row, column = rows[place], columns[place]
    return int(x1[column]), int(y1[row]), int(x2[column]), int(y2[row])


def _at(rows: NDArray[np.generic], positions: Positions, scale: float) -> NDArray[np.float64]:
    """Rows of an integral image at positions in the source, which may fall between two."""
    place = np.asarray(positions, dtype=np.float64) * scale
    below = np.minimum(place.astype(np.int64), len(rows) - 2)
    part = np.minimum(place - below, 1)[:, None]
    return (1 - part) * rows[below] + part * rows[below + 1]


def _extent(cumulative: NDArray[Any], scale: float, size: int) -> tuple[int, int]:
    held = np.flatnonzero(np.diff(cumulative))
    low, high = held[0] / scale, (held[-1] + 1) / scale
    return math.floor(low + 1e-9), min(size, math.ceil(high - 1e-9))
