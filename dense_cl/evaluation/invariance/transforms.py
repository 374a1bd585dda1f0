"""Any photos, changed by known transforms from weak to strong."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torchvision.transforms.functional as TF
from torch import Tensor

from dense_cl.errors import DenseCLError, nearest
from dense_cl.evaluation.invariance.image_sets import ImageSets
from dense_cl.evaluation.labelled_images import central_square
from dense_cl.sources.base import ImageSource
from dense_cl.sources.files import FileSource
from dense_cl.sources.selection import Selection

Change = Callable[[Tensor, float], Tensor]
Strengths = Callable[[int], Sequence[float]]


def _between(low: float, high: float) -> Strengths:
    return lambda count: np.linspace(low, high, count).tolist()


def _factors(low: float, high: float) -> Strengths:
    """Evenly between two factors, without 1, which changes nothing."""
    return lambda count: [f for f in np.linspace(low, high, count).tolist() if f != 1]


def _around(turn: float) -> Strengths:
    """Evenly around a circle, without the start, which changes nothing."""
    return lambda count: [turn * k / (count + 1) for k in range(1, count + 1)]


def _crop(image_CHW: Tensor, share: float) -> Tensor:
    """Cut out a square of a part of the side, from a corner that depends on the part."""
    size = image_CHW.shape[-1]
    side = max(1, round(share * size))
    corner = round(1000 * share) % 4
    top, left = (corner // 2) * (size - side), (corner % 2) * (size - side)
    return TF.resized_crop(image_CHW, top, left, side, side, [size, size])


def _blur(image_CHW: Tensor, sigma: float) -> Tensor:
    size = image_CHW.shape[-1]
    return TF.gaussian_blur(image_CHW, [1 + size // 20 * 2] * 2, [sigma * size / 224])


TRANSFORMS: dict[str, tuple[Change, Strengths]] = {
    "rotation": (lambda image, angle: TF.rotate(image, angle), _around(360)),
    "scale": (
        lambda image, factor: TF.affine(image, 0, [0, 0], factor, [0.0]),
        _factors(0.25, 2),
    ),
    "crop": (_crop, _between(0.75, 0.25)),
    "flip": (lambda image, _: TF.hflip(image), lambda _: [1.0]),
    "brightness": (TF.adjust_brightness, _factors(0.25, 5)),
    "contrast": (TF.adjust_contrast, _factors(0.25, 5)),
    "saturation": (TF.adjust_saturation, _factors(0.25, 5)),
    "hue": (lambda image, turn: TF.adjust_hue(image, (turn + 0.5) % 1 - 0.5), _around(1)),
    "grayscale": (lambda image, _: TF.rgb_to_grayscale(image, 3), lambda _: [1.0]),
    "blur": (_blur, lambda count: [20 * k / count for k in range(1, count + 1)]),
}
"""How each changes a (3, H, W) uint8 image, and the strengths of so many changes.

Ranges are those of linusericsson/ssl-invariances ``eval_synthetic_invariance.py`` (rotation in
degrees, scale and the colour factors as torchvision counts them, hue as a part of the circle, blur
as sigma in pixels of a 224 pixel image; crops of 3/4 to 1/4 of the side, here from the corners).
Areas that come from outside of a picture are black, as there.
"""


def transform_sets(
    source: ImageSource, indices: Sequence[int], transform: str, steps: int, size: int
) -> ImageSets:
    """Return each image (its central square) with changed versions of it.

    Args:
        source: the images.
        indices: which of them.
        transform: key of ``TRANSFORMS``.
        steps: pictures of a set, the unchanged one included; flips and grayscale have two, and
            factors one less where a step would be 1.
        size: side in pixels.

    Raises:
        DenseCLError: unknown transform, or fewer than two steps.
    """
    if transform not in TRANSFORMS:
        raise DenseCLError(f"'{transform}' is not a transform.{nearest(transform, TRANSFORMS)}")
    if steps < 2:
        raise DenseCLError(f"{steps} steps: two at least, the image and a changed one.")
    change, strengths_of = TRANSFORMS[transform]
    strengths = tuple(strengths_of(steps - 1))

    def load(index: int) -> Tensor:
        square = central_square(source.load(indices[index]), size)
        original = torch.from_numpy(square).permute(2, 0, 1)
        changed = [change(original, strength) for strength in strengths]
        return torch.stack([original, *changed]).permute(0, 2, 3, 1)

    # Without the place of the folder, so that results of two machines meet.
    name = source.relative_name if isinstance(source, FileSource) else source.name
    stamp = f"{transform} by {strengths} of {Selection(source, indices).stamp()}, {size} px"
    return ImageSets(tuple(map(name, indices)), load, strengths=strengths, stamp=stamp)
