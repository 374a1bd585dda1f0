"""All instruments that give one number, on the same features."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.diagnostics.alignment_uniformity import alignment, uniformity
from dense_cl.diagnostics.alpha_req import alpha_req
from dense_cl.diagnostics.collapse import effective_rank, feature_std
from dense_cl.diagnostics.lidar import enough_views, lidar
from dense_cl.diagnostics.spectrum import covariance_spectrum
from dense_cl.diagnostics.tolerance import tolerance
from dense_cl.evaluation.knn import knn_accuracy


@torch.no_grad()
def view_measures(views_NQD: Tensor) -> dict[str, float]:
    """Measure features of augmented views; no labels are needed.

    Args:
        views_NQD: (N, Q, D) features of Q >= 2 views of N >= 2 images, not normalised.

    Returns:
        ``alignment`` (of the first two views), ``distance`` (the same between different images),
        ``uniformity``, ``feature_std``, ``relative_std`` (in units of 1/sqrt(D)), ``rankme``,
        ``alpha_req`` and ``lidar``. All but the first two and LiDAR are of the first view. What
        so few images cannot tell is left out.
    """
    images, views, channels = views_NQD.shape
    features = views_NQD[:, 0]
    first, second = F.normalize(features, dim=1), F.normalize(views_NQD[:, 1], dim=1)
    # Mean of |x_i - y_j|^2 over i != j, from sums: 2 - 2 mean cosine.
    cosines = first.sum(dim=0) @ second.sum(dim=0) - (first * second).sum()
    std = feature_std(features).item()
    measures = {
        "alignment": alignment(first, second).item(),
        "distance": 2 - 2 * cosines.item() / (images * (images - 1)),
        "uniformity": uniformity(first).item(),
        "feature_std": std,
        "relative_std": std * math.sqrt(channels),
        "rankme": effective_rank(features).item(),
        "alpha_req": alpha_req(covariance_spectrum(features)).item(),
    }
    if enough_views(images, views, channels):
        measures["lidar"] = lidar(views_NQD).item()
    return {name: value for name, value in measures.items() if math.isfinite(value)}


@torch.no_grad()
def label_measures(
    features_ND: Tensor,
    labels_N: Tensor,
    queries_MD: Tensor | None = None,
    query_labels_M: Tensor | None = None,
) -> dict[str, float]:
    """Measure features of labelled images.

    Args:
        features_ND: (N, D) features, not normalised.
        labels_N: (N,) int64 classes.
        queries_MD: (M, D) features of other images for kNN; None: each image against the rest.
        query_labels_M: (M,) their classes.

    Returns:
        ``knn`` (accuracy in [0, 1]), ``knn_chance`` (of always naming the largest class),
        ``tolerance`` and, with several classes, ``similarity`` (mean cosine of images of different
        classes).

    Raises:
        DenseCLError: no class has two images.
    """
    truth = labels_N if query_labels_M is None else query_labels_M
    unit = F.normalize(features_ND, dim=1)
    sizes = labels_N.bincount().double()
    images = len(labels_N)
    same_pairs = (sizes * (sizes - 1)).sum().item()
    mean_same = tolerance(features_ND, labels_N).item()
    all_cosines = (unit.sum(dim=0).square().sum() - unit.square().sum()).item()
    other_pairs = images * (images - 1) - same_pairs
    measures = {
        "knn": knn_accuracy(features_ND, labels_N, queries_MD, query_labels_M),
        "knn_chance": (truth.bincount().max() / len(truth)).item(),
        "tolerance": mean_same,
    }
    if other_pairs:
        measures["similarity"] = (all_cosines - mean_same * same_pairs) / other_pairs
    return measures
