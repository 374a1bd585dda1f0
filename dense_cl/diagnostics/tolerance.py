"""Tolerance: whether features leave images of one class close together."""

import torch
from torch import Tensor

from dense_cl.diagnostics.collapse import at_least_float32
from dense_cl.errors import DenseCLError


def tolerance(features_ND: Tensor, labels_N: Tensor) -> Tensor:
    r"""Return the mean cosine of two different images of the same class.

    Wang and Liu, arXiv 2012.09740, section 4.2. Their equation 11 multiplies by an indicator inside
    the mean over all pairs, which would make the value depend on the number of classes; their text
    ("mean similarities of samples belong to the same class") and the size of the values in their
    table 1 say that the mean is over pairs of the same class, and so it is here.

    Computed from class sums, without any N x N matrix:
    :math:`\sum_c (\|\sum_i x_i\|^2 - n_c) / \sum_c n_c (n_c - 1)`.

    Args:
        features_ND: (N, D) features, normalised here.
        labels_N: (N,) int64 classes, 0 or more.

    Returns:
        Scalar in [-1, 1], without gradient. 1 may also mean that all images are alike.

    Raises:
        DenseCLError: no class has two images.
    """
    unit = torch.nn.functional.normalize(
        features_ND.detach().to(at_least_float32(features_ND)), dim=1
    )
    sizes = labels_N.bincount()
    if not has_pairs(labels_N):
        raise DenseCLError(
            "tolerance compares images of one class, and no class has two. Give more labelled "
            "images."
        )
    sums = unit.new_zeros(len(sizes), unit.shape[1]).index_add_(0, labels_N, unit)
    return (sums.square().sum() - unit.square().sum()) / (sizes * (sizes - 1)).sum()


def has_pairs(labels_N: Tensor) -> bool:
    """Whether a class has two images."""
    return bool((labels_N.bincount() > 1).any())
