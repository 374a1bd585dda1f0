"""The squared Frobenius norm of a product of features over the batch."""

import torch
from torch import Tensor


def squared_products(first_ND: Tensor, second_ND: Tensor) -> Tensor:
    r"""Return :math:`\lVert X^\top Y \rVert_F^2`, the sum of all squared entries.

    For batches smaller than the dimension it is taken as the equal sum of :math:`(X X^\top) \odot
    (Y Y^\top)`: the (N, N) products of 32 images take one 65,000th of the memory of the (D, D)
    products of 8,192 dimensions. Never in half precision: diagonals are subtracted from it.

    Args:
        first_ND: (N, D), float32 at least.
        second_ND: (N, D).

    Returns:
        Scalar.
    """
    with torch.autocast(first_ND.device.type, enabled=False):
        if first_ND.shape[0] < first_ND.shape[1]:
            return ((first_ND @ first_ND.T) * (second_ND @ second_ND.T)).sum()
        return (first_ND.T @ second_ND).square().sum()
