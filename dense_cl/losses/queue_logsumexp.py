"""log-sum-exp of a query's similarities to a long queue, without keeping the similarities.

Shape suffixes: N queries, K negatives, D channels; R rows and C columns of one tile.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Rows and columns of similarities that exist at one time. On a CPU, 2 MB (bfloat16) stay in the
# cache through the passes over them: 2.4 times faster than 32 MB tiles. Elsewhere launching a
# kernel costs more than memory traffic, and 256 MB are small.
_CPU_TILE = (512, 2048)
_ROWS, _BYTES = 4096, 1 << 28


def queue_logsumexp(
    query_ND: Tensor,
    negatives_KD: Tensor,
    temperature: float,
    tile: tuple[int, int] | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Return :math:`\log \sum_k \exp(q_n \cdot m_k / T)` and :math:`\max_k q_n \cdot m_k / T`.

    Works on tiles of the similarity matrix with a running maximum, sum and mean (Milakov and
    Gimelshein, arXiv 1805.02867; Dao et al., arXiv 2205.14135). The gradient of row n is
    :math:`\sum_k p_{nk} m_k / T` with :math:`p` the softmax of the row, so it is computed while
    the tile is at hand and only an (N, D) tensor is kept for the backward pass; no (N, K) matrix
    ever exists. Queues receive no gradient (He et al., arXiv 1911.05722, section 3.2).

    Under autocast the two matrix products run in the autocast type; sums, the mean and the
    logarithm are in float32 (float64 for float64 queries).

    Args:
        query_ND: (N, D) queries, floating point; gradients flow to them (once).
        negatives_KD: (K, D) negatives.
        temperature: T > 0.
        tile: rows and columns per tile; by default what suits the device.

    Returns:
        The logarithm, (N,), and the largest logit, (N,) without gradient; both float32, or
        float64 for float64 queries.
    """
    with_grad = torch.is_grad_enabled() and query_ND.requires_grad
    tile = tile or tile_for(len(query_ND), query_ND.device.type, _compute_dtype(query_ND))
    return _QueueLogSumExp.apply(query_ND, negatives_KD.detach(), temperature, tile, with_grad)


def tile_for(queries: int, device: str, dtype: torch.dtype) -> tuple[int, int]:
    """Return the rows and columns of a tile that suit a type of device."""
    if device == "cpu":
        return _CPU_TILE
    rows = min(max(queries, 1), _ROWS)
    return rows, _BYTES // (rows * dtype.itemsize)


class _QueueLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query_ND: Tensor,
        negatives_KD: Tensor,
        temperature: float,
        tile: tuple[int, int],
        with_grad: bool,
    ) -> tuple[Tensor, Tensor]:
        dtype = _compute_dtype(query_ND)
        with torch.autocast(query_ND.device.type, enabled=False):
            columns = negatives_KD.to(dtype).split(tile[1])
            rows = (query_ND / temperature).to(dtype).split(tile[0])
            parts = [_reduce_row(row_RD, columns, with_grad) for row_RD in rows]
            max_N, logsumexp_N, mean_ND = (torch.cat(part) for part in zip(*parts, strict=True))
        ctx.save_for_backward((mean_ND / temperature).to(query_ND.dtype))
        ctx.mark_non_differentiable(max_N)
        return logsumexp_N, max_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream_N: Tensor, _max: Tensor) -> tuple[Tensor | None, ...]:
        (gradient_ND,) = ctx.saved_tensors
        return (upstream_N[:, None] * gradient_ND).to(gradient_ND.dtype), None, None, None, None


def _reduce_row(
    query_RD: Tensor, columns: tuple[Tensor, ...], with_mean: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the maximum (R,), log-sum-exp (R,) and softmax-weighted mean negative (R, D)."""
    dtype = torch.promote_types(query_RD.dtype, torch.float32)
    max_R1 = query_RD.new_full((len(query_RD), 1), -torch.inf)
    sum_R1 = query_RD.new_zeros(max_R1.shape, dtype=dtype)
    weighted_RD = query_RD.new_zeros(
        query_RD.shape if with_mean else (len(query_RD), 0), dtype=dtype
    )
    for negatives_CD in columns:
        logits_RC = query_RD @ negatives_CD.T
        new_max_R1 = torch.maximum(max_R1, logits_RC.amax(dim=1, keepdim=True))
        exp_RC = logits_RC.sub_(new_max_R1).exp_()
        rescale_R1 = (max_R1.to(dtype) - new_max_R1).exp_()
        sum_R1 = sum_R1 * rescale_R1 + exp_RC.sum(dim=1, keepdim=True, dtype=dtype)
        if with_mean:
            weighted_RD = weighted_RD.mul_(rescale_R1).add_(exp_RC @ negatives_CD)
        max_R1 = new_max_R1
    max_R = max_R1.squeeze(1).to(dtype)
    return max_R, max_R + sum_R1.squeeze(1).log(), weighted_RD.div_(sum_R1)


def _compute_dtype(query: Tensor) -> torch.dtype:
    device = query.device.type
    if torch.is_autocast_enabled(device) and query.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return query.dtype
