"""Alignment and uniformity: what a contrastive loss asks of features on the sphere."""

import math

import torch
from torch import Tensor

_CHUNK = 1024  # rows whose distances to all others are in memory at once


def alignment(first_ND: Tensor, second_ND: Tensor, alpha: float = 2.0) -> Tensor:
    r"""Return how far the two views of an image lie apart, :math:`E \|x - y\|_2^\alpha`.

    Wang and Isola, arXiv 2005.10242, section 4; SsnL/align_uniform. 0 is perfect, and collapsed
    features have it too: read it beside ``uniformity``.

    Args:
        first_ND: (N, D) unit features of one view of each image.
        second_ND: (N, D) unit features of the other.
        alpha: exponent > 0.

    Returns:
        Scalar; with ``alpha`` 2 it is in [0, 4], and 2 - 2 times the mean cosine.
    """
    return (first_ND - second_ND).norm(dim=1).pow(alpha).mean()


def uniformity(features_ND: Tensor, t: float = 2.0) -> Tensor:
    r"""Return how evenly features fill the sphere, :math:`\log E\, e^{-t \|x - y\|_2^2}`.

    The mean is over all pairs of different images, as in SsnL/align_uniform, which is an unbiased
    estimate (Wang and Isola, arXiv 2005.10242, section 4). The pairs are visited in chunks.

    Args:
        features_ND: (N, D) unit features, N >= 2.
        t: inverse width of the kernel > 0.

    Returns:
        Scalar: 0 when all features are equal, -2t when all pairs are orthogonal. Even
        features of many dimensions come close to the latter.
    """
    images = len(features_ND)
    squares = features_ND.square().sum(dim=1)
    parts = []
    for start in range(0, images - 1, _CHUNK):
        rows = slice(start, min(start + _CHUNK, images))
        products = features_ND[rows] @ features_ND[start:].T
        distances = (squares[rows, None] + squares[None, start:] - 2 * products).clamp(min=0)
        above = torch.ones_like(distances, dtype=torch.bool).triu(1)
        parts.append((-t * distances).masked_fill(~above, -math.inf).flatten().logsumexp(0))
    return torch.stack(parts).logsumexp(0) - math.log(images * (images - 1) / 2)
