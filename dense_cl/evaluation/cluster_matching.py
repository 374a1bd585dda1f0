"""Clusters named after classes, so that a clustering can be scored like a segmentation.

The rules of ``hbird/utils/eval_metrics.py`` in vpariza/open-hummingbird-eval, which has them from
MkuuWaUjinga/leopart (``experiments/utils.py``).
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def overlap_iou(counts_KC: Tensor) -> Tensor:
    """Return the IoU of every class with every cluster.

    Args:
        counts_KC: pixels by (true class, cluster).

    Returns:
        (K, C) float64; 0 where neither occurs.
    """
    counts = counts_KC.double()
    union = counts.sum(dim=1, keepdim=True) + counts.sum(dim=0) - counts
    return torch.where(union > 0, counts / union.clamp(min=1), 0.0)


def hungarian(counts_KC: Tensor) -> Tensor:
    """Match classes and clusters one to one so that the sum of their IoU is largest.

    Clusters that are left over count as class 0, the background of the data sets that the authors
    score; where class 0 is no background it only means that their pixels are wrong elsewhere.

    Returns:
        (C,) int64 class of each cluster.
    """
    rows, columns = linear_sum_assignment(overlap_iou(counts_KC).cpu().numpy(), maximize=True)
    classes = torch.zeros(counts_KC.shape[1], dtype=torch.long)
    classes[torch.from_numpy(columns)] = torch.from_numpy(rows)
    return classes


def many_to_one(counts_KC: Tensor, by_precision: bool = True) -> Tensor:
    """Give every cluster the class it suits best; several may share one (over-clustering).

    Args:
        counts_KC: pixels by (true class, cluster).
        by_precision: the class of most of its pixels; False: of the largest IoU.

    Returns:
        (C,) int64 class of each cluster.
    """
    return (counts_KC if by_precision else overlap_iou(counts_KC)).argmax(dim=0).cpu()


def merge_clusters(counts_KC: Tensor, classes_C: Tensor) -> Tensor:
    """Return the (K, K) confusion matrix after every cluster has taken the name of its class."""
    merged = counts_KC.new_zeros(len(counts_KC), len(counts_KC))
    return merged.index_add_(1, classes_C.to(counts_KC.device), counts_KC)
