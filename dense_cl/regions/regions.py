"""Regions of a source image, and what a batch of views shows of them."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageRegions:
    """Regions of one source image; the id of a region is its number in this image.

    Attributes:
        label_map: (h, w) int16 id of each pixel's region, -1 for none. It covers the whole
            source, perhaps at a lower resolution. None for regions that are boxes only.
        boxes: (N, 4) float32 x1, y1, x2, y2 in source pixels, row i being region i. None for
            regions that are pixels only.
    """

    label_map: NDArray[np.int16] | None = None
    boxes: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class ViewRegions:
    """What one view shows of the regions of its image; ids are those of ``ImageRegions``.

    Attributes:
        label_map: (H, W) int16 id at each pixel of the view, -1 for none.
        boxes: (N, 4) float32 x1, y1, x2, y2 in pixels of the view, clipped to it.
        visible: (N,) float32, share of each box's area that the view shows.
    """

    label_map: NDArray[np.int16] | None = None
    boxes: NDArray[np.float32] | None = None
    visible: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class RegionBatch:
    """What one view of each of B images shows of their regions.

    A region has the same id in all views of its image; the same id in two images means nothing.

    Attributes:
        label_map: (B, H, W) int16 id at each pixel of the view, -1 where there is no region or
            no image. None if the provider gives boxes only.
        boxes: (B, N, 4) float32 x1, y1, x2, y2 in pixels of the view, clipped to it; row i is
            region i, with rows of zeros up to the largest number of regions in the batch. None
            if the provider gives label maps only.
        visible: (B, N) float32, share of each box's area that the view shows; 0 for the rows of
            zeros.
    """

    label_map: Tensor | None = None
    boxes: Tensor | None = None
    visible: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> "RegionBatch":
        """Return the batch with ``change`` applied to every tensor."""
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: change(t) for k, t in tensors.items() if t is not None})

    def to(self, device: torch.device | str, non_blocking: bool = True) -> "RegionBatch":
        """Return the batch with its tensors on ``device``."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=non_blocking))


def fits(map_size: tuple[int, ...], size: tuple[int, ...]) -> bool:
    """Whether a map is the image reduced by one factor, but for a pixel of the map by rounding."""
    factors = [m / s for m, s in zip(map_size, size, strict=True)]
    return min(map_size) > 0 and abs(factors[0] - factors[1]) <= 1 / size[0] + 1 / size[1]
