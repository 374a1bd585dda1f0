"""Photos with the background taken away or swapped: the sets of the backgrounds challenge.

Xiao et al., "Noise or Signal: The Role of Image Backgrounds in Object Recognition", ICLR 2021,
arXiv 2006.09994. Names and the gap are those of MadryLab/backgrounds_challenge (README.md), which
has the finished sets of ImageNet-9 but not what made them. Here they are made of instance masks;
where that needed a decision, the functions say so. All images are squares of one size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dense_cl.evaluation.objects import ImageObjects
from dense_cl.views.crops import crop_and_resize

ORIGINAL, ONLY_FG, ONLY_BG_T = "original", "only_fg", "only_bg_t"
MIXED_SAME, MIXED_RAND, MIXED_NEXT = "mixed_same", "mixed_rand", "mixed_next"
MIXED = (MIXED_SAME, MIXED_RAND, MIXED_NEXT)
VARIANTS = (ORIGINAL, ONLY_FG, ONLY_BG_T, *MIXED)

MIN_SHARE = 0.05  # of the square that the object covers; less is hardly a foreground
MIN_STRIP = 0.1  # of the side: what is left beside the object's box to tile with

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Cutout:
    """A square of a photo and the object in it.

    Attributes:
        name: of the photo.
        label: class of the object, and so of the image.
        image: (S, S, 3) RGB.
        mask: (S, S) the object.
    """

    name: str
    label: str
    image: Image
    mask: Mask


def cut_out(objects: ImageObjects, name: str, size: int) -> Cutout | None:
    """Cut a square with the largest object out of a photo; None where it does not do.

    The object with most pixels names the class. The square has the photo's shorter side; it is
    moved along the longer one until the middle of the object's box is in its middle, or as near as
    the photo allows. It does not do if there is no mask, if the object covers less than 5 % of the
    square, or if its box leaves no strip of a tenth of the side to tile the background with.

    Args:
        objects: of the photo.
        name: of the photo.
        size: side S of the result in pixels.
    """
    if objects.masks is None:
        return None
    largest = int(objects.masks.sum(axis=(1, 2)).argmax())
    mask = objects.masks[largest]
    height, width = mask.shape
    side = min(height, width)
    x1, y1, x2, y2 = objects.boxes[largest]
    left = int(np.clip((x1 + x2 - side) / 2, 0, width - side))
    top = int(np.clip((y1 + y2 - side) / 2, 0, height - side))
    image = crop_and_resize(objects.image, (left, top, left + side, top + side), (size, size))
    part = mask[top : top + side, left : left + side].astype(np.float32)
    part = cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA) > 0.5
    if part.mean() < MIN_SHARE or min(_largest_strip(part, part).shape) < MIN_STRIP * size:
        return None
    return Cutout(name, objects.categories[largest], image, part)


def tiled_background(cutout: Cutout) -> Image:
    """Fill the box of the object with the rest of the photo, tiled.

    The tile is the largest of the four rectangles above, below, left and right of the box. What
    else the photo shows stays, other objects of the class too.
    """
    y1, y2, x1, x2 = _bounds(cutout.mask)
    strip = _largest_strip(cutout.mask, cutout.image)
    rows, columns = (
        np.arange(n) % m for n, m in zip((y2 - y1, x2 - x1), strip.shape, strict=False)
    )
    filled = cutout.image.copy()
    filled[y1:y2, x1:x2] = strip[rows[:, None], columns]
    return filled


def variant(name: str, cutout: Cutout, donor: Cutout | None = None) -> Image:
    """Return one of ``VARIANTS`` of an image.

    ``only_fg`` has the object on black, ``only_bg_t`` is ``tiled_background``, and the mixed ones
    have the object, where it was, on the tiled background of ``donor``.
    """
    if name == ORIGINAL:
        return cutout.image
    if name == ONLY_BG_T:
        return tiled_background(cutout)
    behind = np.zeros_like(cutout.image) if donor is None else tiled_background(donor)
    return np.where(cutout.mask[:, :, None], cutout.image, behind)


def donors(name: str, labels: Sequence[str], seed: int) -> list[int] | None:
    """Choose for each of N images another one that gives the background; None if none does.

    ``mixed_same`` draws from the image's own class, ``mixed_next`` from the one behind it in the
    order of names, the first behind the last, and ``mixed_rand`` from a class that is drawn first,
    which may be its own. No image is its own donor. The same seed draws the same.

    Args:
        name: of the variant.
        labels: classes of the images; each class has two images or more.
        seed: of the draws.
    """
    if name not in MIXED:
        return None
    generator = np.random.default_rng((seed, MIXED.index(name)))
    classes = sorted(set(labels))
    members = {c: [i for i, label in enumerate(labels) if label == c] for c in classes}
    chosen = []
    for number, label in enumerate(labels):
        place = classes.index(label)
        if name == MIXED_NEXT:
            place = (place + 1) % len(classes)
        elif name == MIXED_RAND:
            place = int(generator.integers(len(classes)))
        others = [i for i in members[classes[place]] if i != number]
        chosen.append(others[int(generator.integers(len(others)))])
    return chosen


def _bounds(mask: Mask) -> tuple[int, int, int, int]:
    """Return first and last row, first and last column of a mask; the last are exclusive."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _largest_strip(mask: Mask, values: NDArray[Any]) -> NDArray[Any]:
    """Return the largest part of ``values`` above, below, left or right of a mask's box."""
    y1, y2, x1, x2 = _bounds(mask)
    return max((values[:y1], values[y2:], values[:, :x1], values[:, x2:]), key=np.size)
