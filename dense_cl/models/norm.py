"""Normalisation layers by name, and batch normalisation synchronised over any backend."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dense_cl.errors import DenseCLError, nearest
from dense_cl.models.distributed import world_size


def norm_layer(name: str) -> Callable[[int], nn.Module]:
    """Return a constructor ``channels -> layer``.

    Args:
        name: 'BN', 'SyncBN', or 'GN' (32 groups).

    Raises:
        DenseCLError: any other name.
    """
    layers: dict[str, Callable[[int], nn.Module]] = {
        "BN": nn.BatchNorm2d,
        "SyncBN": SyncBatchNorm2d,
        "GN": partial(nn.GroupNorm, 32),
    }
    if name not in layers:
        raise DenseCLError(f"no normalisation layer is called '{name}'.{nearest(name, layers)}")
    return layers[name]


class _AllReduceSum(torch.autograd.Function):
    """Sum over ranks; every rank's loss depends on the sum, so gradients are summed as well."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        dist.all_reduce(tensor)
        return tensor

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        upstream = upstream.clone()
        dist.all_reduce(upstream)
        return upstream


class SyncBatchNorm2d(nn.SyncBatchNorm):
    """BatchNorm2d over the batches of all ranks, on any backend (gloo on CPU included).

    torch's own layer covers CUDA; on other devices it refuses to run, so there the mean and the
    variance are all-reduced here, with gradients, in float32 at least. Batches may differ in
    size between ranks. Running statistics follow ``BatchNorm2d`` (unbiased variance), and so do
    the keys of the state dict. In one process, and in evaluation, it is ``BatchNorm2d``.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalise (B, C, H, W) over all ranks' B, H and W."""
        if x_BCHW.is_cuda or not self.training or world_size() == 1:
            return super().forward(x_BCHW)
        x = x_BCHW.to(torch.promote_types(x_BCHW.dtype, torch.float32))
        local_sum = x.sum(dim=(0, 2, 3))
        count = local_sum.new_tensor([x.numel() // x.shape[1]])
        total = _AllReduceSum.apply(torch.cat([local_sum, count]))
        count = total[-1].detach()
        mean = total[:-1] / count
        # A second reduction instead of E[x²] - mean²: that difference cancels in float32.
        centred = x - mean[:, None, None]
        variance = _AllReduceSum.apply(centred.square().sum(dim=(0, 2, 3))) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        y = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.affine:
            y = y * self.weight[:, None, None] + self.bias[:, None, None]
        return y.to(x_BCHW.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        rate = self.momentum if self.momentum is not None else 1 / int(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_(unbiased_variance.to(self.running_var.dtype), rate)
