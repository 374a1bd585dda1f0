"""The local criterion of VICRegL: VICReg of matched locations."""

import torch
from torch import Tensor

from dense_cl.losses.info_nce import weighted_mean
from dense_cl.losses.vicreg import VICRegTerms, spread


def vicreg_local(
    first_NKD: Tensor, second_NKD: Tensor, counted_NK: Tensor | None = None, eps: float = 1e-4
) -> VICRegTerms:
    r"""Return the terms of VICReg for K matched pairs of locations of each of N images.

    Invariance is the mean squared difference of the pairs that count. Variance and covariance are
    those of the k-th locations over the images (``dense_cl.losses.vicreg``), averaged over k
    and over the two sides; VICReg itself sums the covariance of its two views (Bardes et al., arXiv
    2210.01571; facebookresearch/VICRegL ``main_vicregl.py``). Pairs that do not count take no part
    in these either, and a k has the more say, the more images it is averaged over
    (``dense_cl.losses.vicreg.spread``); the released code has no such pairs.

    Args:
        first_NKD: (N, K, D) raw embeddings of the whole batch, all processes; N > 1.
        second_NKD: (N, K, D), what each was matched with.
        counted_NK: (N, K) bool, which pairs count; None counts all. If none does, all terms are
            0 with zero gradients.
        eps: ε.

    Returns:
        The terms in float32 at least, not yet weighted.

    Raises:
        DenseCLError: N is 1.
    """
    dtype = torch.promote_types(first_NKD.dtype, torch.float32)
    sides = first_NKD.to(dtype), second_NKD.to(dtype)
    invariance = weighted_mean((sides[0] - sides[1]).square().mean(dim=2), counted_NK)
    both_2KND = torch.stack(sides).transpose(1, 2)
    counted_2KN = None if counted_NK is None else counted_NK.mT.expand(2, -1, -1)
    return VICRegTerms(invariance, *spread(both_2KND, eps, counted_2KN))
