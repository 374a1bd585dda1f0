"""Which regions of an image may be objects: large, not too long, and different from each other."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dense_cl.views.geometry import Size

Boxes = NDArray[np.int32]


def candidate_boxes(
    boxes: ArrayLike,
    image_size: Size,
    min_size: float,
    max_aspect: float,
    max_iou: float,
    max_boxes: int,
) -> Boxes:
    """Choose the regions of an image to compare, in the order given.

    Jiahao000/ORL ``openselfsup/datasets/correspondence.py``. Where no region is fit, that code
    takes the first one, however small; here it is the whole image, which is large enough.

    Args:
        boxes: (N, 4) x1, y1, x2, y2 in source pixels, the better ones first; cut at the border of
            the image and rounded to whole pixels.
        image_size: height and width in pixels.
        min_size: smallest width and height in pixels.
        max_aspect: longest side over shortest.
        max_iou: overlap that a box may have with those chosen before it.
        max_boxes: how many are chosen at most.

    Returns:
        (A, 4) whole pixels, 1 <= A <= max_boxes.
    """
    height, width = image_size
    limits = [width, height, width, height]
    left = np.clip(np.rint(np.asarray(boxes, np.float64).reshape(-1, 4)), 0, limits)
    sides = left[:, 2:] - left[:, :2]
    short, long = sides.min(axis=1), sides.max(axis=1)
    left = left[(short >= max(min_size, 1)) & (long <= max_aspect * short)]
    chosen: list[ArrayLike] = []
    while len(left) and len(chosen) < max_boxes:
        first, left = left[0], left[1:]
        chosen.append(first)
        left = left[overlap(first, left) <= max_iou]
    return np.array(chosen or [[0, 0, width, height]], dtype=np.int32)


def overlap(box: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Return the intersection over union of a box with (N, 4) others."""
    box, others = np.asarray(box, np.float64), np.asarray(others, np.float64).reshape(-1, 4)
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    return shared / (math.prod(box[2:] - box[:2]) + areas - shared)
