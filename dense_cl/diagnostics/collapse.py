"""Signs of collapse that cost next to nothing to watch."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_RANKME_EPSILON = 1e-7


def feature_std(features_ND: Tensor) -> Tensor:
    r"""Return the mean over dimensions of the standard deviation of L2-normalised features.

    Zero when every image gives the same direction; :math:`1/\sqrt{D}` when directions are
    spread evenly over the sphere (Chen and He, arXiv 2011.10566, section 4.1).

    Args:
        features_ND: (N, D) features of N images.

    Returns:
        Scalar in [0, 1/sqrt(D)], without gradient.
    """
    unit = F.normalize(features_ND.detach().to(at_least_float32(features_ND)), dim=1)
    return unit.std(dim=0, correction=0).mean()


def effective_rank(features_ND: Tensor) -> Tensor:
    r"""Return RankMe, :math:`\exp(-\sum_k p_k \log p_k)`, of the features as they are.

    :math:`p_k = \sigma_k / \sum_j \sigma_j + 10^{-7}` with the singular values of the
    uncentred matrix (Garrido et al., arXiv 2210.02885).

    Args:
        features_ND: (N, D) features of N images.

    Returns:
        Scalar in [1, min(N, D)] up to the epsilon, without gradient; NaN if any feature is not
        finite.
    """
    matrix = features_ND.detach().to(at_least_float32(features_ND))
    if not matrix.isfinite().all():  # LAPACK would raise, ahead of the error that says what to do
        return matrix.new_tensor(math.nan)
    return entropy_rank(torch.linalg.svdvals(matrix))


def entropy_rank(spectrum_K: Tensor) -> Tensor:
    """Return the exponential of the entropy of a spectrum's shares, each plus RankMe's 1e-7.

    Args:
        spectrum_K: (K,) values of 0 or more.

    Returns:
        Scalar: K for equal values, 1 for a single one that is not 0.
    """
    tiny = torch.finfo(spectrum_K.dtype).tiny
    share = spectrum_K / spectrum_K.sum().clamp(min=tiny) + _RANKME_EPSILON
    return torch.exp(-(share * share.log()).sum())


def collapsed_feature_std(channels: int, share: float = 0.1) -> float:
    """Return the ``feature_std`` below which features count as completely collapsed.

    Args:
        channels: D of the features.
        share: of the value of evenly spread directions, 1/sqrt(D).
    """
    return share / math.sqrt(channels)


def collapsed_rank(images: int, channels: int) -> float:
    """Return the ``effective_rank`` below which features count as dimensionally collapsed.

    0.4 times the logarithm, to base 2, of the largest rank there can be: 2 of 32, 3.2 of 256. Not a
    share of the largest: in healthy runs, too, projections can draw together to a few
    directions for the first hundreds of iterations (docs/diagnostics.md has measurements).

    Args:
        images: N they were computed from.
        channels: D of the features.
    """
    return 0.4 * math.log2(min(images, channels))


def chance_level(queue_size: int) -> float:
    """Return ln(K + 1), the InfoNCE loss of features that tell nothing apart."""
    return math.log(queue_size + 1)


def at_least_float32(tensor: Tensor) -> torch.dtype:
    """Return the type to compute statistics of a tensor in."""
    return torch.promote_types(tensor.dtype, torch.float32)
