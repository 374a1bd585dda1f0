"""The spectrum of features: how many directions carry how much."""

import torch
from torch import Tensor

from dense_cl.diagnostics.collapse import at_least_float32


def singular_values(features_ND: Tensor) -> Tensor:
    """Return the singular values of the features as they are (not centred), largest first.

    The convention of RankMe (``effective_rank``): the mean direction counts as one of them, and is
    usually the largest.

    Args:
        features_ND: (N, D) features of N images.

    Returns:
        (min(N, D),), without gradient.
    """
    return torch.linalg.svdvals(features_ND.detach().to(at_least_float32(features_ND)))


def covariance_spectrum(features_ND: Tensor) -> Tensor:
    """Return each principal component's share of the variance, largest first.

    The convention of alpha-ReQ: features are centred and the eigenvalues of their covariance sum
    to 1.

    Args:
        features_ND: (N, D) features of N images, N >= 2.

    Returns:
        (min(N, D),), without gradient; all 0 if the features do not vary at all.
    """
    features = features_ND.detach().to(at_least_float32(features_ND))
    variances = torch.linalg.svdvals(features - features.mean(dim=0)).square()
    return variances / variances.sum().clamp(min=torch.finfo(variances.dtype).tiny)


def principal_plane(features_ND: Tensor) -> Tensor:
    """Return where the features lie on their first two principal components.

    Args:
        features_ND: (N, D) features of N images; their directions count, not their lengths.

    Returns:
        (N, 2), without gradient; the signs are such that the coordinate of largest absolute value
        is positive on both axes.
    """
    unit = torch.nn.functional.normalize(
        features_ND.detach().to(at_least_float32(features_ND)), dim=1
    )
    vectors, values, _ = torch.linalg.svd(unit - unit.mean(dim=0), full_matrices=False)
    plane = torch.nn.functional.pad(vectors * values, (0, 1))[:, :2]
    largest = plane.gather(0, plane.abs().argmax(dim=0, keepdim=True))
    return plane * torch.where(largest < 0, -1.0, 1.0)
