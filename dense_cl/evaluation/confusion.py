"""Segmentation scores from a confusion matrix."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dense_cl.errors import DenseCLError


def confusion_matrix(
    prediction: Tensor, target: Tensor, num_classes: int, num_predicted: int | None = None
) -> Tensor:
    """Count pixels by (true class, predicted class).

    Args:
        prediction: integers in [0, num_predicted), any shape.
        target: integer classes of the same shape; anything outside [0, num_classes) is void
            and is not counted.
        num_classes: K.
        num_predicted: C, where predictions are clusters; K if not given.

    Returns:
        (K, C) int64, rows = truth, columns = prediction.

    Raises:
        DenseCLError: other shapes, or a counted prediction that is no class.
    """
    columns = num_predicted or num_classes
    if prediction.shape != target.shape:
        raise DenseCLError(
            f"predictions of shape {tuple(prediction.shape)} are not of the same pixels as a target"
            f" of {tuple(target.shape)}."
        )
    target, prediction = target.flatten().long(), prediction.flatten().long()
    counted = (target >= 0) & (target < num_classes)
    target, prediction = target[counted], prediction[counted]
    if prediction.numel() and not 0 <= prediction.min() <= prediction.max() < columns:
        raise DenseCLError(
            f"predictions of {int(prediction.min())} to {int(prediction.max())} are not all within"
            f" the {columns} classes."
        )
    pairs = target * columns + prediction
    return torch.bincount(pairs, minlength=num_classes * columns).reshape(num_classes, columns)


@dataclass(frozen=True)
class SegmentationScores:
    """Scores in [0, 1]; a class that is in neither truth nor prediction has IoU NaN.

    Attributes:
        iou: (K,) intersection over union by class.
        mean_iou: mean over the classes with a defined IoU.
        pixel_accuracy: share of the counted pixels that are right.
        mean_class_accuracy: recall averaged over the classes present in the truth.
    """

    iou: np.ndarray
    mean_iou: float
    pixel_accuracy: float
    mean_class_accuracy: float


def segmentation_scores(confusion: Tensor) -> SegmentationScores:
    """Return the scores of a (K, K) confusion matrix (rows = truth)."""
    counts = confusion.double().cpu().numpy()
    return counted_scores(np.stack([np.diag(counts), counts.sum(1), counts.sum(0)]))


def counted_scores(counts_3K: np.ndarray) -> SegmentationScores:
    """Return the scores of what was counted of each class: hits, pixels, and predicted pixels.

    IoU = TP / (TP + FP + FN) over all pixels of the data set, as in the PASCAL VOC
    segmentation challenge (Everingham et al., IJCV 2015, section 4).
    """
    hits, truth, predicted = counts_3K
    with np.errstate(invalid="ignore"):
        iou = hits / (truth + predicted - hits)
        recall = hits / truth
    return SegmentationScores(
        iou=iou,
        mean_iou=_mean(iou),
        pixel_accuracy=float(hits.sum() / truth.sum()) if truth.sum() else float("nan"),
        mean_class_accuracy=_mean(recall),
    )


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
