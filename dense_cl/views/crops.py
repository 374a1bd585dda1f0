"""Crop policies: which boxes of a source become its views, chosen for all views of a group at once."""

import math
from abc import ABC, abstractmethod

import cv2
import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.registry import CROPS
from dense_cl.views.geometry import Size

Box = tuple[int, int, int, int]


class CropPolicy(ABC):
    """Chooses the boxes of all views of a group together, so that it may relate them."""

    @abstractmethod
    def sample(self, source_size: Size, count: int, rng: np.random.Generator) -> list[Box]:
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

    def sample(self, source_size: Size, count: int, rng: np.random.Generator) -> list[Box]:
        """Return ``count`` independent boxes."""
        return [self._box(*source_size, rng) for _ in range(count)]

    def _box(self, height: int, width: int, rng: np.random.Generator) -> Box:
        log_low, log_high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(10):
            area = height * width * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(log_low, log_high))
            crop_w, crop_h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < crop_w <= width and 0 < crop_h <= height:
                x = int(rng.integers(width - crop_w + 1))
                y = int(rng.integers(height - crop_h + 1))
                return x, y, x + crop_w, y + crop_h
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        crop_w = max(1, min(width, round(height * ratio)))
        crop_h = max(1, min(height, round(width / ratio)))
        x, y = (width - crop_w) // 2, (height - crop_h) // 2
        return x, y, x + crop_w, y + crop_h


def crop_and_resize(image: NDArray[np.uint8], box: Box, size: Size) -> NDArray[np.uint8]:
    """Cut a box out of an (H, W, 3) image and resize it to ``size``.

    Shrinking averages the pixels under each new pixel (INTER_AREA), which does not alias, as
    Pillow's antialiased filter in torchvision's recipes does not; enlarging is bilinear. Both
    have half-pixel centres exactly, so ``ViewGeometry.from_box`` is what happens to the pixels.
    """
    x1, y1, x2, y2 = box
    patch = image[y1:y2, x1:x2]
    if patch.shape[:2] == size:
        return np.ascontiguousarray(patch)
    shrinks = patch.shape[0] >= size[0] and patch.shape[1] >= size[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(patch, (size[1], size[0]), interpolation=interpolation)
    return np.asarray(resized, dtype=np.uint8)
