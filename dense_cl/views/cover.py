"""How much of a mask lies in boxes, by its integral image."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dense_cl.views.crops import Box
from dense_cl.views.geometry import Size

Positions = Sequence[int] | NDArray[np.int64]


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
