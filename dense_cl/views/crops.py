"""Crop policies: which boxes of a source become the views of a group, all chosen together."""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from dense_cl.errors import DenseCLError
from dense_cl.registry import CROPS
from dense_cl.views.geometry import Size

Box = tuple[int, int, int, int]
LabelMap = NDArray[np.int16]


class Crop(NamedTuple):
    """A box, and how it came about.

    Attributes:
        box: (x1, y1, x2, y2) in whole pixels, inside the source.
        tries: see ``ViewBatch.crop_tries``.
    """

    box: Box
    tries: int | None = None


class CropPolicy(ABC):
    """Chooses the boxes of all views of a group together, so that it may relate them.

    Attributes:
        needs_objects: whether it cannot do without a label map of what is salient.
    """

    needs_objects = False

    @abstractmethod
    def sample(
        self, source_size: Size, count: int, rng: random.Random, objects: LabelMap | None = None
    ) -> list[Crop]:
        """Return ``count`` crops.

        Args:
            source_size: height and width of the image.
            count: how many.
            rng: of all that is random.
            objects: (h, w) id of the salient object at each pixel, -1 for none, of the whole
                image, perhaps at a lower resolution; None if nobody looked.
        """


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

    def sample(
        self, source_size: Size, count: int, rng: random.Random, objects: LabelMap | None = None
    ) -> list[Crop]:
        """Return ``count`` independent crops."""
        return [Crop(self._box(*source_size, rng)) for _ in range(count)]

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


@CROPS.register_module()
class MinOverlapCrop(RandomResizedCrop):
    """Random boxes that all share a good part with the first one.

    The first box is drawn as ``RandomResizedCrop`` draws it. Each further one is drawn in the same
    way, up to ``tries`` times, until its intersection with the first covers at least
    ``min_overlap`` of the smaller of the two. If none does, the last one drawn is moved straight
    towards the place where the overlap is greatest, no farther than needed; if the shapes alone
    forbid enough of it (a wide and a tall box), the first box is taken again. So the rule holds
    for every image.

    Args:
        min_overlap: smallest intersection, as a part of the smaller box.
        tries: draws before the box is moved.
        scale: smallest and largest area, as parts of the source's.
        ratio: smallest and largest width over height.
    """

    def __init__(
        self,
        min_overlap: float = 0.5,
        tries: int = 10,
        scale: tuple[float, float] = (0.2, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        super().__init__(scale, ratio)
        if not 0 <= min_overlap <= 1:
            raise DenseCLError(f"min_overlap {min_overlap} is a part: give 0 to 1")
        if tries < 1:
            raise DenseCLError(f"tries must be at least 1, not {tries}")
        self.min_overlap, self.tries = float(min_overlap), tries

    def sample(
        self, source_size: Size, count: int, rng: random.Random, objects: LabelMap | None = None
    ) -> list[Crop]:
        """Return ``count`` crops."""
        first = self._box(*source_size, rng)
        others = (self._partner(first, source_size, rng) for _ in range(count - 1))
        return [Crop(box) for box in (first, *others)]

    def _partner(self, first: Box, source_size: Size, rng: random.Random) -> Box:
        for _ in range(self.tries):
            box = self._box(*source_size, rng)
            if overlap_share(first, box) >= self.min_overlap:
                return box
        dx, dy = (_way_inside(first[i], first[i + 2], box[i], box[i + 2]) for i in (0, 1))
        steps = max(abs(dx), abs(dy))
        for step in range(1, steps + 1):
            x, y = round(dx * step / steps), round(dy * step / steps)
            moved = (box[0] + x, box[1] + y, box[2] + x, box[3] + y)
            if overlap_share(first, moved) >= self.min_overlap:
                return moved
        return first


@CROPS.register_module()
class MultiScaleCrop(CropPolicy):
    """Independent boxes, each from a range of areas of its own.

    Args:
        scales: smallest and largest area of each view, as parts of the source's; as many as the
            group has views.
        ratio: smallest and largest width over height.
    """

    def __init__(
        self,
        scales: Sequence[tuple[float, float]],
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        self.crops = [RandomResizedCrop(scale, ratio) for scale in scales]

    def sample(
        self, source_size: Size, count: int, rng: random.Random, objects: LabelMap | None = None
    ) -> list[Crop]:
        """Return a crop for each scale.

        Raises:
            DenseCLError: ``count`` is not the number of scales.
        """
        if count != len(self.crops):
            raise DenseCLError(
                f"MultiScaleCrop has {len(self.crops)} scales for {count} views: give one for each"
            )
        return [crop.sample(source_size, 1, rng)[0] for crop in self.crops]


@CROPS.register_module()
class WholeImage(CropPolicy):
    """The whole source, whatever its aspect ratio (SoCo's first view)."""

    def sample(
        self, source_size: Size, count: int, rng: random.Random, objects: LabelMap | None = None
    ) -> list[Crop]:
        """Return ``count`` times the whole source."""
        return [Crop((0, 0, source_size[1], source_size[0]))] * count


def overlap_share(first: Box, second: Box) -> float:
    """Area of the intersection of two boxes as a part of the smaller one's."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    smaller = min((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (first, second))
    return max(width, 0) * max(height, 0) / smaller


def _way_inside(low: int, high: int, start: int, end: int) -> int:
    """How far to move [start, end) along an axis until it or [low, high) contains the other."""
    to_low, to_high = low - start, high - end
    if min(to_low, to_high) <= 0 <= max(to_low, to_high):
        return 0
    return min(to_low, to_high, key=abs)


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
