"""Prototypical networks on frozen features: all episodes at once."""

import math

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError

_CHUNK = 64  # episodes whose features are in memory at once


def squared_distances(support_EWSD: Tensor, query_EWQD: Tensor) -> Tensor:
    """Return the squared Euclidean distance of every query to the mean support of every class.

    Snell et al., arXiv 1703.05175, equations 1 and 2: minus this is the logit of the class.

    Args:
        support_EWSD: E episodes, W classes ("ways"), S images ("shots") each.
        query_EWQD: Q queries of each class.

    Returns:
        (E, W, Q, W), the last axis being the prototypes.
    """
    prototypes_EWD = support_EWSD.mean(dim=2)
    # Not by |q|^2 - 2 qp + |p|^2, which loses the digits of features far from the origin.
    distances = torch.cdist(
        query_EWQD.flatten(1, 2), prototypes_EWD, compute_mode="donot_use_mm_for_euclid_dist"
    )
    return distances.square().unflatten(1, query_EWQD.shape[1:3])


def sample_episodes(
    labels_N: Tensor, way: int, shot: int, query: int, episodes: int, seed: int
) -> Tensor:
    """Draw the images of all episodes: classes, then images, each without replacement.

    Args:
        labels_N: (N,) int64 classes of the images to draw from.
        way: W, classes in an episode.
        shot: S, support images of each.
        query: Q, query images of each.
        episodes: E.
        seed: of the draw; it alone decides the episodes.

    Returns:
        (E, W, S + Q) int64 indices; the support comes first.

    Raises:
        DenseCLError: fewer than ``way`` classes have ``shot + query`` images.
    """
    each = shot + query
    members = [torch.nonzero(labels_N == label)[:, 0] for label in labels_N.unique()]
    large = [indices for indices in members if len(indices) >= each]
    if len(large) < way:
        raise DenseCLError(
            f"{way}-way {shot}-shot episodes with {query} queries need {way} classes of at least"
            f" {each} images; only {len(large)} of {len(members)} classes have so many. Lower the"
            " ways, shots or queries, or take coarser labels."
        )
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for _ in range(episodes):
        ways = torch.randperm(len(large), generator=generator)[:way].tolist()
        picks = (torch.randperm(len(large[w]), generator=generator)[:each] for w in ways)
        drawn.append(torch.stack([large[w][pick] for w, pick in zip(ways, picks, strict=True)]))
    return torch.stack(drawn)


def episode_hits(features_ND: Tensor, episodes_EWI: Tensor, shot: int) -> Tensor:
    """Return whether the prototype nearest to each query is that of its class.

    Args:
        features_ND: (N, D).
        episodes_EWI: from ``sample_episodes``.
        shot: images of each class that make its prototype.

    Returns:
        (E, W, Q) bool.
    """
    hits = []
    for part in episodes_EWI.split(_CHUNK):
        images = features_ND[part]
        distances = squared_distances(images[:, :, :shot], images[:, :, shot:])
        truth = torch.arange(part.shape[1], device=distances.device)[:, None]
        hits.append(distances.argmin(dim=-1) == truth)
    return torch.cat(hits)


def mean_and_interval(values_E: Tensor) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % interval, 1.96 std / sqrt(E).

    The standard deviation is the population's (over E, not E - 1), as in ``few_shot.py`` of
    linusericsson/ssl-transfer. The interval is over the draw of episodes alone.
    """
    values = values_E.double()
    return values.mean().item(), 1.96 * values.std(correction=0).item() / math.sqrt(len(values))
