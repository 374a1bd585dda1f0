"""Is a box, a point or a map on the object? Pure functions of one image."""

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou

HIT_IOU = 0.5
# Of the largest value: Selvaraju et al., "Grad-CAM" (ICCV 2017), weakly supervised localisation.
THRESHOLD = 0.15

Boxes = NDArray[np.float64]
Map = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


def best_ious(boxes: Boxes, truth: Boxes) -> NDArray[np.float64]:
    """Return for each of (M, 4) boxes its largest IoU with any of (N, 4) true ones: (M,).

    Boxes are x1, y1, x2, y2. An empty box overlaps nothing. N is at least 1.
    """
    overlap = box_iou(torch.from_numpy(boxes), torch.from_numpy(truth)).nan_to_num()
    return overlap.max(dim=1).values.numpy()


def pointing_hit(attention: Map, truth: Mask) -> float:
    """Say whether a map's largest value lies on an object (Zhang et al., "Excitation backprop").

    The place is the centre of the largest cell. Several equal ones share the hit, so that a map
    without a maximum scores what a random point would. No tolerance beyond the object's border.

    Args:
        attention: (h, w) of any resolution, covering the whole image.
        truth: (H, W) pixels of the objects.

    Returns:
        0 or 1, or the share of largest cells that lie on an object.
    """
    cells = np.argwhere(attention == attention.max())
    scale = np.array(truth.shape) / attention.shape
    rows, columns = ((cells + 0.5) * scale).astype(int).T
    return float(truth[rows, columns].mean())


def map_iou(attention: Map, truth: Mask, threshold: float = THRESHOLD) -> float:
    """Compare what exceeds a share of a map's largest value with the objects: IoU in [0, 1].

    A map without a positive value marks nothing.

    Args:
        attention: (h, w), enlarged bilinearly to the size of the image first.
        truth: (H, W) pixels of the objects.
        threshold: share of the largest value, in [0, 1).
    """
    return mask_iou(above(attention, threshold, truth.shape), truth)


def above(attention: Map, threshold: float, size: tuple[int, ...]) -> Mask:
    """Return the (H, W) pixels at which an enlarged map exceeds a share of its largest value."""
    enlarged = enlarge(attention, size)
    return enlarged > threshold * max(float(enlarged.max()), 0.0)


def enlarge(attention: Map, size: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a map at (H, W), bilinear with half-pixel centres."""
    enlarged = cv2.resize(attention.astype(np.float32), size[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged, dtype=np.float32)


def mask_iou(first: Mask, second: Mask) -> float:
    """Return the IoU of two masks; that of two empty ones is 0."""
    union = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / union if union else 0.0
