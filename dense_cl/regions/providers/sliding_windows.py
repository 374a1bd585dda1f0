"""Windows that slide over the image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dense_cl.regions.provider import RegionProvider, require
from dense_cl.regions.regions import ImageRegions
from dense_cl.registry import REGIONS


@REGIONS.register_module()
@dataclass(frozen=True)
class SlidingWindows(RegionProvider):
    """Square windows of several sizes at regular steps: boxes.

    The windows of one size are spread evenly from border to border, so the step is the largest
    that is not above the one asked for, and the whole image is covered.

    Attributes:
        sizes: sides of the windows, as parts of the shorter side of the image.
        stride: step, as a part of the side of the window.
    """

    sizes: Sequence[float] = (0.25, 0.5)
    stride: float = 0.5

    def __post_init__(self) -> None:
        sizes_fit = len(self.sizes) > 0 and all(0 < size <= 1 for size in self.sizes)
        require(sizes_fit, self, "sizes are parts of the shorter side, 0 < size <= 1")
        require(0 < self.stride <= 1, self, "stride is a part of the window, 0 < stride <= 1")

    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Return the windows, size after size, row by row."""
        height, width = image.shape[:2]
        return ImageRegions(boxes=np.concatenate([self._of(s, height, width) for s in self.sizes]))

    def _of(self, size: float, height: int, width: int) -> NDArray[np.float32]:
        side = size * min(height, width)
        starts = [self._starts(length, side) for length in (width, height)]
        corners = np.stack(np.meshgrid(*starts), axis=-1).reshape(-1, 2)
        return np.concatenate([corners, corners + side], axis=1).astype(np.float32)

    def _starts(self, length: int, side: float) -> NDArray:
        # The nudge keeps a quotient that is a whole number from being rounded up.
        steps = math.ceil((length - side) / (self.stride * side) - 1e-9)
        return np.linspace(0, length - side, steps + 1)
