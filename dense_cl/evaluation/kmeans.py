"""K-means of unit vectors from several beginnings."""

import torch
from torch import Tensor

from dense_cl.losses.spherical_kmeans import spherical_kmeans


def spread_centroids(points_MD: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw centroids far from each other: k-means++ (Arthur and Vassilvitskii, 2007).

    Each further one is a point drawn with probability proportional to its squared distance,
    2 - 2 cosine, from the nearest of those before.

    Args:
        points_MD: (M, D) unit vectors.
        count: K, at most M.
        generator: of the draws.

    Returns:
        (K, D).
    """
    first = int(torch.randint(len(points_MD), (1,), generator=generator))
    chosen = [first]
    distance_M = 1 - points_MD @ points_MD[first]
    for _ in range(count - 1):
        weights = distance_M.clamp(min=0).double().cumsum(0)
        # Where all points coincide with centroids, any point will do.
        draw = torch.rand(1, generator=generator, dtype=torch.float64) * weights[-1]
        index = min(int(torch.searchsorted(weights, draw, right=True)), len(points_MD) - 1)
        chosen.append(index)
        distance_M = torch.minimum(distance_M, 1 - points_MD @ points_MD[index])
    return points_MD[chosen]


def best_clustering(
    points_MD: Tensor, count: int, seed: int, restarts: int = 5, iterations: int = 50
) -> Tensor:
    """Return the clustering of highest mean cosine with the centroids, of several.

    Args:
        points_MD: (M, D) unit vectors.
        count: K clusters.
        seed: of the beginnings.
        restarts: number of beginnings.
        iterations: moves of the centroids for each.

    Returns:
        (M,) int64 clusters.
    """
    generator = torch.Generator().manual_seed(seed)
    best, clusters_M = -torch.inf, torch.zeros(len(points_MD), dtype=torch.long)
    for _ in range(restarts):
        start = spread_centroids(points_MD, count, generator)
        found_M, centroids_KD = spherical_kmeans(points_MD, start, iterations)
        value = float((points_MD * centroids_KD[found_M]).sum(dim=1).mean())
        if value > best:
            best, clusters_M = value, found_M
    return clusters_M
