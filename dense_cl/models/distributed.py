"""Collectives that are the identity in one process and accept uneven batches in several."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable


def world_size() -> int:
    """Return the number of processes, 1 when ``torch.distributed`` is not set up."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process, 0 when ``torch.distributed`` is not set up."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def gather_sizes(size: int, device: torch.device) -> list[int]:
    """Return ``size`` of every rank, in rank order."""
    if world_size() == 1:
        return [size]
    sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(world_size())]
    dist.all_gather(sizes, torch.tensor([size], device=device))
    return torch.cat(sizes).tolist()


@torch.no_grad()
def concat_all_gather(tensor: Tensor, sizes: list[int] | None = None) -> Tensor:
    """Concatenate a tensor of every rank along dimension 0, in rank order; no gradient.

    Args:
        tensor: (N_r, ...) on rank r; N_r may differ between ranks, even be 0.
        sizes: N_r of every rank when known (saves an exchange).

    Returns:
        (sum of N_r, ...), the same on every rank; ``tensor`` itself in one process.
    """
    if world_size() == 1:
        return tensor
    sizes = sizes or gather_sizes(len(tensor), tensor.device)
    longest = max(sizes)
    # Collectives want one dense layout; channels_last would be sent as if it were NCHW.
    padded = tensor.new_zeros((longest, *tensor.shape[1:]))
    padded[: len(tensor)] = tensor
    gathered = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(gathered, padded)
    return torch.cat([part[:size] for part, size in zip(gathered, sizes, strict=True)])


def gather_with_gradient(tensor: Tensor, sizes: list[int] | None = None) -> Tensor:
    """Concatenate a tensor of every rank along dimension 0; gradients return to their ranks.

    The gradient of a rank's rows is the sum of what the losses of all ranks ask of them, so with
    DistributedDataParallel's average a step is that of the mean of the ranks' losses.

    Args:
        tensor: (N_r, ...) on rank r; N_r may differ between ranks.
        sizes: N_r of every rank when known (saves an exchange).

    Returns:
        (sum of N_r, ...), the same on every rank; ``tensor`` itself in one process.
    """
    if world_size() == 1:
        return tensor
    return _Gather.apply(tensor, sizes or gather_sizes(len(tensor), tensor.device))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, sizes: list[int]) -> Tensor:
        start = sum(sizes[: rank()])
        ctx.rows = slice(start, start + len(tensor))
        return concat_all_gather(tensor, sizes)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        upstream = upstream.contiguous()
        dist.all_reduce(upstream)
        return upstream[ctx.rows], None


def rescale_mean(mean: Tensor, count: Tensor) -> Tensor:
    """Scale a mean over this process's items where processes have different numbers of them.

    DistributedDataParallel averages over processes; the mean over all items is the average of
    their means, each times its number of items over the average number.

    Args:
        mean: scalar, over the items of this process; finite if it has none.
        count: scalar, how many those are.

    Returns:
        Scalar of the type of ``mean``: ``mean`` itself where all have as many, 0 for none.
    """
    counts = concat_all_gather(count.reshape(1).double())
    mine = counts[rank() if len(counts) > 1 else 0]
    return mean * (mine / counts.mean().clamp_min(torch.finfo(counts.dtype).tiny)).to(mean.dtype)
