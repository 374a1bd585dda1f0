"""Barlow Twins: make the cross-correlation of two views the identity."""

from typing import NamedTuple

import torch
from torch import Tensor

from dense_cl.losses.checks import check_alike
from dense_cl.losses.squared_products import squared_products


class BarlowTwinsTerms(NamedTuple):
    """The loss and its parts.

    Attributes:
        loss: scalar.
        on_diagonal: sum of (C_ii - 1)².
        off_diagonal: sum of C_ij² over i ≠ j, before its weight.
    """

    loss: Tensor
    on_diagonal: Tensor
    off_diagonal: Tensor


def barlow_twins(
    first_ND: Tensor, second_ND: Tensor, off_diagonal_weight: float, eps: float = 1e-5
) -> BarlowTwinsTerms:
    r"""Return :math:`\sum_i (C_{ii} - 1)^2 + \lambda \sum_{i \ne j} C_{ij}^2`.

    :math:`C = z_1^\top z_2 / N` of projections standardised over the batch, with the biased
    variance and ``eps`` of a BatchNorm without affine part, as in facebookresearch/barlowtwins
    ``main.py`` (Zbontar et al., arXiv 2103.03230, equation 1).

    Args:
        first_ND: (N, D) raw projections of the whole batch, all processes.
        second_ND: (N, D) of the other views.
        off_diagonal_weight: λ.
        eps: added to the variance.

    Returns:
        Scalars in float32 at least; the parts without gradient.

    Raises:
        DenseCLError: other shapes.
    """
    check_alike(2, first=first_ND, second=second_ND)
    first, second = _standardise(first_ND, eps), _standardise(second_ND, eps)
    diagonal = (first * second).mean(dim=0)
    on_diagonal = (diagonal - 1).square().sum()
    off_diagonal = squared_products(first, second) / len(first) ** 2 - diagonal.square().sum()
    loss = on_diagonal + off_diagonal_weight * off_diagonal
    return BarlowTwinsTerms(loss, on_diagonal.detach(), off_diagonal.detach())


def _standardise(features_ND: Tensor, eps: float) -> Tensor:
    features_ND = features_ND.to(torch.promote_types(features_ND.dtype, torch.float32))
    variance, mean = torch.var_mean(features_ND, dim=0, correction=0)
    return (features_ND - mean) * torch.rsqrt(variance + eps)
