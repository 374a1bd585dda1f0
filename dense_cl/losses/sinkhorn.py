"""Sinkhorn-Knopp: share samples out evenly among prototypes."""

import torch
from torch import Tensor


@torch.no_grad()
def sinkhorn(scores_NK: Tensor, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    r"""Return soft assignments of samples to prototypes that use all prototypes alike.

    :math:`Q = e^{S / \epsilon}`, then, in turn, every prototype's column is scaled to the same sum
    and every sample's row to 1 (Caron et al., arXiv 2006.09882, section 3.1;
    ``distributed_sinkhorn`` of facebookresearch/swav ``main_swav.py``). It is computed on
    logarithms, so that no epsilon over- or underflows in float32.

    The columns are summed over the samples given: in several processes each one passes the scores
    of the samples of all of them and takes its own rows. That needs embeddings, which are
    small, from the others, and no exchange within an iteration.

    Args:
        scores_NK: (N, K) similarities of all samples to all prototypes.
        epsilon: ε > 0; smaller is harder.
        iterations: of columns, then rows; 0 is a softmax over the prototypes.

    Returns:
        (N, K) in float32 at least, each row a distribution; no gradient.
    """
    dtype = torch.promote_types(scores_NK.dtype, torch.float32)
    log_NK = scores_NK.to(dtype) / epsilon
    for _ in range(iterations):
        log_NK = (log_NK - log_NK.logsumexp(dim=0, keepdim=True)).log_softmax(dim=1)
    return log_NK.softmax(dim=1)
