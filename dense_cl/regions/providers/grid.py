"""Equal rectangles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dense_cl.regions.provider import RegionProvider, as_label_map, require
from dense_cl.regions.regions import ImageRegions
from dense_cl.registry import REGIONS


@REGIONS.register_module()
@dataclass(frozen=True)
class Grid(RegionProvider):
    """The image cut into equal rectangles, row by row: label map and boxes.

    The simplest segmentation of DetCon (Hénaff et al., ICCV 2021), there called spatial heuristic.

    Attributes:
        rows: rectangles from top to bottom.
        columns: rectangles from left to right.
    """

    rows: int = 5
    columns: int = 5

    def __post_init__(self) -> None:
        require(min(self.rows, self.columns) > 0, self, "rows and columns are positive")

    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Return the same grid for every image; the label map has one pixel a rectangle."""
        height, width = image.shape[:2]
        y = np.linspace(0, height, self.rows + 1)
        x = np.linspace(0, width, self.columns + 1)
        left, top = np.meshgrid(x[:-1], y[:-1])
        right, bottom = np.meshgrid(x[1:], y[1:])
        boxes = np.stack([left, top, right, bottom], axis=-1).reshape(-1, 4)
        ids = np.arange(self.rows * self.columns).reshape(self.rows, self.columns)
        return ImageRegions(as_label_map(ids), boxes.astype(np.float32))
