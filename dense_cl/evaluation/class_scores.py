"""Scores of classifiers of whole images.

Those of "How Well Do Self-Supervised Models Transfer?", arXiv 2011.13377, after ``linear.py`` of
linusericsson/ssl-transfer.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.confusion import confusion_matrix, segmentation_scores


def top_1(logits_NK: Tensor, labels_N: Tensor) -> float:
    """Return the share of images whose class has the highest logit.

    Raises:
        DenseCLError: logits that are no numbers, other numbers of images, or unknown classes.
    """
    _check_labels(logits_NK, labels_N)
    return (logits_NK.argmax(dim=1) == labels_N).double().mean().item()


def mean_per_class(logits_NK: Tensor, labels_N: Tensor) -> float:
    """Return the recall averaged over the classes that have an image.

    Raises:
        DenseCLError: see ``top_1``.
    """
    _check_labels(logits_NK, labels_N)
    counts = confusion_matrix(logits_NK.argmax(dim=1), labels_N, logits_NK.shape[1])
    return segmentation_scores(counts).mean_class_accuracy


def average_precision_11(scores_N: Tensor, positive_N: Tensor) -> float:
    """Return the mean over recalls 0, 0.1, ... 1 of the best precision at that recall or more.

    The 11-point measure of PASCAL VOC 2007 as the authors compute it: on scikit-learn's
    precision-recall curve, which ends in precision 1 at recall 0, so that the term of recall 0 is
    always 1. VOC's own development kit has the best precision there, which can be less.

    Args:
        scores_N: higher means more likely positive; equal scores are one point of the curve.
        positive_N: 1 or 0.

    Returns:
        In [0, 1]; NaN where no image is positive.

    Raises:
        DenseCLError: scores that are no numbers, or of another number of images.
    """
    _check_scores(scores_N, positive_N)
    order = scores_N.argsort(descending=True, stable=True)
    scores, positive = scores_N[order].cpu().numpy(), positive_N[order].cpu().numpy() > 0
    if not positive.any():
        return float("nan")
    last_of_equal = np.append(scores[1:] != scores[:-1], True)
    hits = positive.cumsum()[last_of_equal]
    precision = np.append(hits / (np.flatnonzero(last_of_equal) + 1), 1.0)
    recall = np.append(hits / positive.sum(), 0.0)
    return float(np.mean([precision[recall >= level].max() for level in np.linspace(0, 1, 11)]))


def mean_average_precision_11(scores_NK: Tensor, positive_NK: Tensor) -> float:
    """Return ``average_precision_11`` averaged over the classes that have a positive image.

    Raises:
        DenseCLError: scores that are no numbers, or of other images or classes.
    """
    _check_scores(scores_NK, positive_NK)
    columns = zip(scores_NK.T, positive_NK.T, strict=True)
    values = torch.tensor([average_precision_11(s, p) for s, p in columns], dtype=torch.float64)
    return values.nanmean().item()


def resampled_average_precision_11(
    scores_NK: NDArray[np.float64], positive_NK: NDArray[np.bool_], weights_BN: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ``mean_average_precision_11`` of samples, (B,).

    Args:
        scores_NK: of N images for K classes.
        positive_NK: which classes they have.
        weights_BN: how often each image occurs in each sample.

    Returns:
        NaN where no image of a sample is positive for any class.
    """
    sums_B, counted_B = np.zeros(len(weights_BN)), np.zeros(len(weights_BN))
    for scores_N, positive_N in zip(scores_NK.T, positive_NK.T, strict=True):
        order = np.argsort(-scores_N, kind="stable")
        last = np.flatnonzero(np.append(np.diff(scores_N[order]) != 0, True))  # of equal scores
        weights = weights_BN[:, order]
        hits, found = (w.cumsum(axis=1)[:, last] for w in (weights * positive_N[order], weights))
        precision = np.divide(hits, found, out=np.zeros_like(hits), where=found > 0)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # at this recall or more
        some = hits[:, -1] > 0
        recall = hits / np.where(some, hits[:, -1], 1)[:, None]
        average = np.ones(len(weights_BN))  # at recall 0
        for level in np.linspace(0, 1, 11)[1:]:
            first = np.minimum((recall < level).sum(axis=1), len(last) - 1)
            average += np.take_along_axis(best, first[:, None], axis=1)[:, 0]
        sums_B += np.where(some, average / 11, 0)
        counted_B += some
    return np.divide(sums_B, counted_B, out=np.full_like(sums_B, np.nan), where=counted_B > 0)


def _check_scores(scores: Tensor, truth: Tensor) -> None:
    if scores.shape != truth.shape:
        raise DenseCLError(
            f"scores of shape {tuple(scores.shape)} and truth of {tuple(truth.shape)} are not of"
            " the same images and classes."
        )
    if scores.isnan().any():
        raise DenseCLError("some scores are no numbers (NaN): the classifier has diverged.")


def _check_labels(logits_NK: Tensor, labels_N: Tensor) -> None:
    _check_scores(logits_NK.amax(dim=1), labels_N)
    classes = logits_NK.shape[1]
    if len(labels_N) and not 0 <= labels_N.min() <= labels_N.max() < classes:
        raise DenseCLError(
            f"labels of {int(labels_N.min())} to {int(labels_N.max())} are not all within the"
            f" {classes} classes of the logits."
        )


METRICS = {
    "top-1": top_1,
    "mean per class": mean_per_class,
    "11-point mAP": mean_average_precision_11,
}
