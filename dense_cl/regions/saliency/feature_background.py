"""What our own features do not connect with the border of the photo."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from dense_cl.regions.provider import require, shrink
from dense_cl.regions.saliency.robust_background import (
    contrast_to_border,
    superpixels,
)
from dense_cl.regions.saliency.self_saliency import SelfSaliency
from dense_cl.registry import REGIONS


@REGIONS.register_module()
@dataclass(frozen=True)
class FeatureBackground(SelfSaliency):
    """Robust background detection (see ``RobustBackground``) with features in place of colours.

    Superpixels still follow the colours, so that outlines are sharp; how different two of them are
    is the distance of their mean features, centred over the image and of unit length, times
    ``scale``. Ours: it needs no object to be alone, and no attention of a transformer.

    Attributes:
        pixels: of a superpixel, about, on the photo reduced to ``size``.
        scale: what distance 1 between unit features counts, on the scale of colours in Lab.
    """

    pixels: int = 600
    scale: float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.pixels > 0 and self.scale > 0, self, "pixels and scale are positive")

    def saliency(self, image: NDArray[np.uint8], index: int) -> NDArray[np.float32]:
        """Return a map as large as the photo reduced to ``size``, even within a superpixel."""
        labels = superpixels(shrink(image, self.size), self.pixels)
        features = self.features(image)
        cells = (features - features.mean(dim=(1, 2), keepdim=True)).flatten(1).T.double().numpy()
        means = cell_shares(labels, (features.shape[1], features.shape[2])) @ cells
        units = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        return contrast_to_border(labels, self.scale * cdist(units, units))


def cell_shares(labels: NDArray[np.int64], grid: tuple[int, int]) -> NDArray[np.float64]:
    """How much each of R segments has of each cell of a grid laid over them: (R, h w).

    Each pixel counts with its bilinear weights; rows sum to 1. So the product with features of
    cells is the mean of their interpolation, which is never made.

    Args:
        labels: (H, W) ids 0 .. R - 1.
        grid: h and w.
    """
    count, cells = int(labels.max()) + 1, grid[0] * grid[1]
    (top, bottom, below), (left, right, beyond) = (
        _between(pixels, places) for pixels, places in zip(labels.shape, grid, strict=True)
    )
    shares = np.zeros(count * cells)
    for row, row_weight in ((top, 1 - below), (bottom, below)):
        for column, column_weight in ((left, 1 - beyond), (right, beyond)):
            place = labels * cells + row[:, None] * grid[1] + column
            weight = row_weight[:, None] * column_weight
            shares += np.bincount(place.ravel(), weight.ravel(), minlength=count * cells)
    by_segment = shares.reshape(count, cells)
    return by_segment / by_segment.sum(axis=1, keepdims=True)


def _between(pixels: int, cells: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """For each pixel of an axis the cells before and after its centre, and the latter's weight."""
    place = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    before = place.astype(np.int64)
    return before, np.minimum(before + 1, cells - 1), place - before
