"""K-means of unit vectors by cosine."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Similarities held at a time: 2^24 float32 are 64 MB.
_TILE = 1 << 24


@torch.no_grad()
def spherical_kmeans(
    points_MD: Tensor, centroids_KD: Tensor, iterations: int = 10
) -> tuple[Tensor, Tensor]:
    """Move the centroids to the directions of their points, and say whose each point is.

    In turn, every point goes to the centroid of largest dot product, and every centroid becomes
    the L2-normalised mean of its points; one without points stays. A last assignment follows
    (``cluster_memory`` of facebookresearch/swav ``main_deepclusterv2.py``).

    Args:
        points_MD: (M, D) unit vectors.
        centroids_KD: (K, D) unit vectors to begin with; not changed.
        iterations: number of moves.

    Returns:
        (M,) int64 indices of centroids, and the centroids, (K, D).
    """
    for _ in range(iterations):
        sums_KD = torch.zeros_like(centroids_KD)
        counts_K = centroids_KD.new_zeros(len(centroids_KD))
        for tile in points_MD.split(max(1, _TILE // len(centroids_KD))):
            # A product with one-hot rows instead of index_add_, whose order of sums, and so the
            # last bits, would change from run to run on a GPU.
            chosen_NK = F.one_hot(_nearest(tile, centroids_KD), len(centroids_KD)).to(tile.dtype)
            sums_KD += chosen_NK.T @ tile
            counts_K += chosen_NK.sum(dim=0)
        moved_KD = F.normalize(sums_KD, dim=1)  # the mean has the same direction
        centroids_KD = torch.where(counts_K[:, None] > 0, moved_KD, centroids_KD)
    tiles = points_MD.split(max(1, _TILE // len(centroids_KD)))
    return torch.cat([_nearest(tile, centroids_KD) for tile in tiles]), centroids_KD


def _nearest(points_ND: Tensor, centroids_KD: Tensor) -> Tensor:
    return (points_ND @ centroids_KD.T).argmax(dim=1)
