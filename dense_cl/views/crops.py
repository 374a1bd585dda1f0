"""Crop policies: which boxes of a source become the views of a group, all chosen together."""

import math
import random
from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from dense_cl.errors import DenseCLError
from dense_cl.registry import CROPS
from dense_cl.views.geometry import Size

Box = tuple[int, int, int, int]


class CropPolicy(ABC):
    """Chooses the boxes of all views of a group together, so that it may relate them."""

    @abstractmethod
    def sample(self, source_size: Size, count: int, rng: random.Random) -> list[Box]:
        """Return ``count`` boxes (x1, y1, x2, y2) in whole pixels, inside the source."""


@CROPS.register_module()
class RandomResizedCrop(CropPolicy):
    """Independent boxes of random area and aspect ratio.

    The rule of torchvision's ``RandomResizedCrop`` (Szegedy et al., 2015): up to ten draws of
    area and log-uniform aspect ratio until the box fits; then the largest central box whose
    aspect ratio is allowed.

    Args:
        scale: smallest and largest area, as parts of the source's.
        ratio: smallest and largest width over height.
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.2, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        if not (len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1):
            raise DenseCLError(f"crop scale {scale} must be two numbers, 0 < low <= high <= 1")
        if not (len(ratio) == 2 and 0 < ratio[0] <= ratio[1]):
            raise DenseCLError(f"crop ratio {ratio} must be two numbers, 0 < low <= high")
        self.scale = (float(scale[0]), float(scale[1]))
        self.ratio = (float(ratio[0]), float(ratio[1]))

    def sample(self, source_size: Size, count: int, rng: random.Random) -> list[Box]:
        """Return ``count`` independent boxes."""
        return [self._box(*source_size, rng) for _ in range(count)]

    def _box(self, height: int, width: int, rng: random.Random) -> Box:
        log_low, log_high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(10):
            area = height * width * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(log_low, log_high))
            crop_w, crop_h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < crop_w <= width and 0 < crop_h <= height:
                x = rng.randrange(width - crop_w + 1)
                y = rng.randrange(height - crop_h + 1)
                return x, y, x + crop_w, y + crop_h
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        crop_w = max(1, min(width, round(height * ratio)))
        crop_h = max(1, min(height, round(width / ratio)))
        x, y = (width - crop_w) // 2, (height - crop_h) // 2
        return x, y, x + crop_w, y + crop_h


def crop_and_resize(image: NDArray[np.uint8], box: Box, size: Size) -> NDArray[np.uint8]:
    """Cut a box out of an (H, W, 3) image and resize it to ``size`` without aliasing.

    The filter is the antialiased bilinear one of Pillow, and so of torchvision's recipes (to one
    grey level), by torch's uint8 kernel. On x86 it takes as long as OpenCV's plain bilinear
    resize, which aliases, and a quarter as long as INTER_AREA. Its pixels have half-pixel
    centres, so ``ViewGeometry.from_box`` is what happens to them.
    """
    x1, y1, x2, y2 = box
    patch = image[y1:y2, x1:x2]
    if patch.shape[:2] == size:
        return patch.copy()
    # In this order of steps torch sees channels_last memory, which its fast kernel needs.
    batch = torch.from_numpy(patch).unsqueeze(0).permute(0, 3, 1, 2)
    resized = functional.interpolate(batch, size=size, mode="bilinear", antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())
