"""The squared Frobenius norm of a product of features over the batch."""

import torch
from torch import Tensor


def squared_products(first_XND: Tensor, second_XND: Tensor) -> Tensor:
    r"""Return :math:`\lVert X^\top Y \rVert_F^2`, the sum of all squared entries.

    For batches smaller than the dimension it is taken as the equal sum of :math:`(X X^\top) \odot
    (Y Y^\top)`: the (N, N) products of 32 images take one 65,000th of the memory of the (D, D)
    products of 8,192 dimensions. Never in half precision: diagonals are subtracted from it.

    Args:
        first_XND: (..., N, D), float32 at least.
        second_XND: (..., N, D).

    Returns:
        (...), of every set of N vectors.
    """
    with torch.autocast(first_XND.device.type, enabled=False):
        if first_XND.shape[-2] < first_XND.shape[-1]:
            products = (first_XND @ first_XND.mT) * (second_XND @ second_XND.mT)
        else:
            products = (first_XND.mT @ second_XND).square()
        return products.sum(dim=(-2, -1))
