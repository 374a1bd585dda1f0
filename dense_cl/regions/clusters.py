"""K-means of the cells of one image, without chance."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.losses.spherical_kmeans import spherical_kmeans


def cluster_cells(features_CHW: Tensor, count: int) -> Tensor:
    """Part the cells of a feature map by the direction of their features: (H, W) int64.

    The first centre is the cell nearest to the mean; each further one is the cell farthest from
    those chosen, so nothing is random.

    Args:
        features_CHW: of one image.
        count: clusters; fewer are made where there are fewer different cells.
    """
    points = F.normalize(features_CHW.flatten(1).T, dim=1)
    labels, _ = spherical_kmeans(points, _spread(points, count))
    return labels.view(features_CHW.shape[1:])


def _spread(points_MD: Tensor, count: int) -> Tensor:
    """Choose up to ``count`` points that are far from each other: (K, D)."""
    chosen = [int((points_MD @ points_MD.mean(dim=0)).argmax())]
    nearest_M = points_MD @ points_MD[chosen[0]]
    while len(chosen) < count and float(nearest_M.min()) < 1 - 1e-6:
        chosen.append(int(nearest_M.argmin()))
        nearest_M = torch.maximum(nearest_M, points_MD @ points_MD[chosen[-1]])
    return points_MD[chosen]
