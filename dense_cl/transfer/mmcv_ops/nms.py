"""Non-maximum suppression, hard and soft, in the form of mmcv's extension."""

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import nms as torchvision_nms

from dense_cl.transfer.mmcv_ops.precision import widen


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes to keep, by falling score.

    A box goes when its IoU with a kept one is above the threshold.

    Args:
        boxes: (N, 4) x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: in [0, 1].
        offset: 1 when x2 and y2 name the last pixel inside, so that widths are x2 - x1 + 1.
    """
    boxes = widen(boxes)
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    # mmcv's threshold is a float32: an IoU of exactly 1/5 is not above 0.2.
    return torchvision_nms(boxes, scores.to(boxes.dtype), float(np.float32(iou_threshold)))


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al., arXiv 1704.04503): overlapped boxes lose score instead of going.

    Follows mmcv's order of work: the best remaining box is taken, the others decay, and those
    below ``min_score`` leave by being overwritten with the last one. That order decides ties.
    Two boxes without area do not overlap here; mmcv divides zero by zero.

    Args:
        boxes: (N, 4) x1, y1, x2, y2, on CPU.
        scores: (N,).
        dets: (N, 5), filled in place: the first M rows are the boxes and scores taken, in order.
        iou_threshold: decay begins at this IoU (naive, linear).
        sigma: width of the gaussian decay, exp(-IoU² / sigma).
        min_score: boxes whose decayed score is lower are dropped.
        method: 0 naive (score to zero), 1 linear (score · (1 - IoU)), 2 gaussian.
        offset: 1 when widths are x2 - x1 + 1.

    Returns:
        (M,) indices into ``boxes``, in the order taken.
    """
    box_N4 = widen(boxes).numpy()
    score_N = widen(scores).numpy().astype(box_N4.dtype, copy=True)
    extent_N2 = box_N4[:, 2:] - box_N4[:, :2] + offset
    area_N = extent_N2[:, 0] * extent_N2[:, 1]
    order = np.arange(len(box_N4))  # order[:i] is taken, order[i:] remains
    i = 0
    while i < len(order):
        best = i + int(np.argmax(score_N[order[i:]]))
        order[[i, best]] = order[[best, i]]
        top, rest = order[i], order[i + 1 :]
        corner_low = np.maximum(box_N4[top, :2], box_N4[rest, :2])
        corner_high = np.minimum(box_N4[top, 2:], box_N4[rest, 2:])
        side_M2 = np.maximum(corner_high - corner_low + offset, 0)
        inter_M = side_M2[:, 0] * side_M2[:, 1]
        union_M = area_N[top] + area_N[rest] - inter_M
        iou_M = np.divide(inter_M, union_M, out=np.zeros_like(inter_M), where=union_M != 0)
        score_N[rest] *= _decay(iou_M, iou_threshold, sigma, method)
        order = np.concatenate([order[: i + 1], _compact(rest, score_N[rest] >= min_score)])
        i += 1
    dets[: len(order), :4] = boxes[order]
    dets[: len(order), 4] = torch.from_numpy(score_N[order])
    return torch.from_numpy(order)


def _decay(iou: np.ndarray, iou_threshold: float, sigma: float, method: int) -> np.ndarray:
    if method == 2:
        return np.exp(-(iou * iou) / sigma)
    weight = 1 - iou if method == 1 else np.zeros_like(iou)
    return np.where(iou >= iou_threshold, weight, np.ones_like(iou))


def _compact(items: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Drop items as mmcv does: each gap, from the front, is filled with the last kept item."""
    count = int(keep.sum())
    kept = items[:count].copy()
    kept[~keep[:count]] = items[count:][keep[count:]][::-1]
    return kept
