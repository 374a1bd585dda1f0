"""log-sum-exp of a query's similarities to a long queue, without keeping the similarities.

Shape suffixes: N queries, K negatives, D channels, C rows of one chunk.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# The largest block of similarities that exists at one time. Larger blocks only help matrix
# multiplication up to a point, and smaller ones stay in a processor's last-level cache.
_BLOCK_BYTES = 32 * 2**20


def queue_logsumexp(
    query_ND: Tensor, negatives_KD: Tensor, temperature: float, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    r"""Return :math:`\log \sum_k \exp(q_n \cdot m_k / T)` and :math:`\max_k q_n \cdot m_k / T`.

    Works on blocks of rows. The gradient of row n is :math:`\sum_k p_{nk} m_k / T` with
    :math:`p` the softmax of the row, so it is computed while the block is at hand and only an
    (N, D) tensor is kept for the backward pass; no (N, K) matrix ever exists. Queues receive
    no gradient (He et al., arXiv 1911.05722, section 3.2).

    Under autocast the two matrix products run in the autocast type; the sum and the logarithm
    are in float32 (float64 for float64 queries).

    Args:
        query_ND: (N, D) queries, floating point; gradients flow to them (once).
        negatives_KD: (K, D) negatives.
        temperature: T > 0.
        chunk: rows per block; by default as many as make a block of about 32 MB.

    Returns:
        The logarithm, (N,), and the largest logit, (N,) without gradient; both float32, or
        float64 for float64 queries.
    """
    with_grad = torch.is_grad_enabled() and query_ND.requires_grad
    return _QueueLogSumExp.apply(query_ND, negatives_KD.detach(), temperature, chunk, with_grad)


def _compute_dtype(query: Tensor) -> torch.dtype:
    device = query.device.type
    if torch.is_autocast_enabled(device) and query.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return query.dtype


class _QueueLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query_ND: Tensor,
        negatives_KD: Tensor,
        temperature: float,
        chunk: int | None,
        with_grad: bool,
    ) -> tuple[Tensor, Tensor]:
        dtype = _compute_dtype(query_ND)
        sum_dtype = torch.promote_types(dtype, torch.float32)
        count, size = len(query_ND), len(negatives_KD)
        rows = chunk or max(1, _BLOCK_BYTES // (size * dtype.itemsize))
        logsumexp_N = query_ND.new_empty(count, dtype=sum_dtype)
        max_N = torch.empty_like(logsumexp_N)
        grad_ND = torch.empty_like(query_ND) if with_grad else None
        with torch.autocast(query_ND.device.type, enabled=False):
            scaled_ND = (query_ND / temperature).to(dtype)
            negatives_KD = negatives_KD.to(dtype)
            for start in range(0, count, rows):
                block = slice(start, start + rows)
                logits_CK = scaled_ND[block] @ negatives_KD.T
                max_C1 = logits_CK.amax(dim=1, keepdim=True)
                exp_CK = logits_CK.sub_(max_C1).exp_()
                sum_C = exp_CK.sum(dim=1, dtype=sum_dtype)
                max_N[block] = max_C1.squeeze(1)
                logsumexp_N[block] = max_N[block] + sum_C.log()
                if grad_ND is not None:
                    mean_CD = (exp_CK @ negatives_KD).to(sum_dtype) / sum_C[:, None]
                    grad_ND[block] = mean_CD / temperature
        ctx.save_for_backward(*([] if grad_ND is None else [grad_ND]))
        ctx.mark_non_differentiable(max_N)
        return logsumexp_N, max_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream_N: Tensor, _max: Tensor) -> tuple[Tensor | None, ...]:
        (grad_ND,) = ctx.saved_tensors
        return (upstream_N[:, None] * grad_ND).to(grad_ND.dtype), None, None, None, None
