"""One object found on a grid of features, and its box in the image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True, eq=False)
class FoundObject:
    """What one method found in one image.

    Attributes:
        seed: row and column of the cell that the object grew from.
        mask: (h, w) bool cells of the object; all False where nothing stands out.
    """

    seed: tuple[int, int]
    mask: NDArray[np.bool_]

    @classmethod
    def around(cls, seed: int, foreground: NDArray[np.bool_]) -> "FoundObject":
        """Keep the part of a (h, w) foreground that touches a cell, given by its flat index.

        Neighbours share an edge, not only a corner, as ``scipy.ndimage.label`` has it.
        """
        place = divmod(seed, foreground.shape[1])
        labels, _ = ndimage.label(foreground)
        return cls(place, (labels == labels[place]) & foreground)

    def box(self, image_size: tuple[int, int]) -> NDArray[np.float64]:
        """Return x1, y1, x2, y2 of the cells' outer edges in pixels; zeros for an empty mask.

        Args:
            image_size: height and width that the grid covers.
        """
        if not self.mask.any():
            return np.zeros(4)
        rows, columns = (np.flatnonzero(self.mask.any(axis=axis)) for axis in (1, 0))
        height, width = np.array(image_size) / self.mask.shape
        first, last = (rows[0], columns[0]), (rows[-1] + 1, columns[-1] + 1)
        return np.array([first[1] * width, first[0] * height, last[1] * width, last[0] * height])


def standardised(features: NDArray[Any]) -> NDArray[Any]:
    """Shift and scale a whole (h, w, C) map to mean 0 and variance 1.

    What LOST does to the features of a convolutional network (valeoai/LOST ``main_lost.py``, layer
    norm over all cells and channels): those after a ReLU are all positively similar otherwise. A
    constant map becomes 0.
    """
    centred = features - features.mean()
    return centred / np.sqrt(np.square(centred).mean() + 1e-5)
