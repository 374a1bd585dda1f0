"""Where one would say that the object is without looking at the image."""

import numpy as np
from numpy.typing import NDArray

CENTRED_SHARE = 0.5  # of the area of the image
RANDOM_BOXES = 100  # for each image, so that their mean is close to what is expected
_SPREAD = 0.25  # standard deviation of the central bump, of each side of the image

Array = NDArray[np.float64]


def centred_box(size: tuple[int, int], share: float = CENTRED_SHARE) -> Array:
    """Return the box in the middle of an (H, W) image, of its shape and a share of its area."""
    height, width = size
    margin = (1 - np.sqrt(share)) / 2
    return np.array([margin, margin, 1 - margin, 1 - margin]) * [width, height, width, height]


def random_boxes(
    size: tuple[int, int], generator: np.random.Generator, count: int = RANDOM_BOXES
) -> Array:
    """Return (count, 4) boxes between two points drawn evenly over an (H, W) image."""
    height, width = size
    corners = np.sort(generator.random((count, 2, 2)), axis=1) * [width, height]
    return corners.reshape(count, 4)


def centre_map(grid: tuple[int, int]) -> Array:
    """Return an (h, w) Gaussian bump in the middle, a quarter of each side wide."""
    rows, columns = (((np.arange(n) + 0.5) / n - 0.5) / _SPREAD for n in grid)
    return np.exp(-(rows[:, None] ** 2 + columns**2) / 2)
