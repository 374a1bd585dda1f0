"""Normalisation layers by name, and batch normalisation synchronised over any backend."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dense_cl.errors import DenseCLError, nearest
from dense_cl.models.distributed import world_size


def norm_layer(name: str, vectors: bool = False) -> Callable[..., nn.Module]:
    """Return a constructor ``channels -> layer``.

    Args:
        name: 'BN', 'SyncBN' (torch's own under NCCL, else ``SyncBatchNorm2d``; the state dict is
            the same) or 'GN' (32 groups).
        vectors: for (B, C) instead of (B, C, H, W); the last two take both anyway.

    Raises:
        DenseCLError: any other name.
    """
    on_nccl = world_size() > 1 and dist.get_backend() == "nccl"
    layers: dict[str, Callable[..., nn.Module]] = {
        "BN": nn.BatchNorm1d if vectors else nn.BatchNorm2d,
        "SyncBN": nn.SyncBatchNorm if on_nccl else SyncBatchNorm2d,
        "GN": partial(GroupNorm, 32),
    }
    if name not in layers:
        raise DenseCLError(f"no normalisation layer is called '{name}'.{nearest(name, layers)}")
    return layers[name]


@contextlib.contextmanager
def running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Normalise with batch statistics as in training, without recording them a second time."""
    # Not by track_running_stats: with it off the layer saves other tensors than in the first run.
    recording = []
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.num_batches_tracked is not None:
            batches = module.num_batches_tracked
            recording.append((module, module.momentum, batches, batches.clone()))
            module.momentum = 0.0
    try:
        yield
    finally:
        for module, momentum, batches, before in recording:
            module.momentum = momentum
            batches.copy_(before)


class GroupNorm(nn.GroupNorm):
    """``nn.GroupNorm``, quick also for ``channels_last`` maps on a CPU.

    torch 2.12 takes 5 to 30 times as long for them as for contiguous ones (32 x 128 x 24 x 24, 32
    groups, float32 and bfloat16), and changing the order twice costs a fraction of that.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalise (B, C, H, W), in its memory format, or (B, C)."""
        if x_BCHW.is_contiguous() or x_BCHW.dim() < 4 or x_BCHW.device.type != "cpu":
            return super().forward(x_BCHW)
        normalised = super().forward(x_BCHW.contiguous())
        return normalised.contiguous(memory_format=torch.channels_last)


class SyncBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over the batches of all ranks, on any backend, also of vectors.

    torch's ``SyncBatchNorm`` refuses to run on a CPU. This one all-reduces the statistics, and in
    the backward pass their gradients, in float32 at least. Batches may differ in size between
    ranks. In one process, and in evaluation, it is ``BatchNorm2d``; as that, it can be
    differentiated twice.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalise (B, C, H, W) over all ranks' B, H and W, or (B, C) over their B."""
        if x_BCHW.dim() == 2:
            return self(x_BCHW[:, :, None, None]).flatten(1)
        if not self.training or world_size() == 1:
            return super().forward(x_BCHW)
        x = x_BCHW.to(torch.promote_types(x_BCHW.dtype, torch.float32))
        y, _, mean, variance, count = _Standardise.apply(x, self.eps)
        self._track(mean, variance * count / (count - 1))
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


class _Standardise(torch.autograd.Function):
    r""":math:`y = (x - \mu)\,s` with :math:`s = 1 / \sqrt{\sigma^2 + \epsilon}` of all ranks.

    Backward: :math:`(g - \overline{g} - y\,\overline{g y})\,s` with means over all ranks (Ioffe and
    Szegedy, arXiv 1502.03167, section 3). That is a function of y and s, so s is an output too:
    then autograd differentiates the backward pass by this same rule, with
    :math:`\partial s / \partial x = -s^2 y / n`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        local_sum = x.sum(dim=(0, 2, 3))
        total = _all_reduce(torch.cat([local_sum, x.new_tensor([x.numel() // x.shape[1]])]))
        count = total[-1]
        mean = total[:-1] / count
        centred = x - mean[:, None, None]
        # A second reduction instead of E[x²] - mean²: that difference cancels in float32.
        variance = _all_reduce(centred.square().sum(dim=(0, 2, 3))) / count
        scale = torch.rsqrt(variance + eps)
        y = centred.mul_(scale[:, None, None])
        ctx.save_for_backward(y, scale, count)
        ctx.mark_non_differentiable(mean, variance, count)
        return y, scale, mean, variance, count

    @staticmethod
    def backward(
        ctx: Any, upstream: Tensor, upstream_scale: Tensor, *_: Tensor
    ) -> tuple[Tensor, None]:
        y, scale, count = ctx.saved_tensors
        local = [upstream.sum(dim=(0, 2, 3)), (upstream * y).sum(dim=(0, 2, 3)), upstream_scale]
        mean, mean_of_product, mean_scale = _SumOverRanks.apply(torch.stack(local)) / count
        slope = (mean_of_product + mean_scale * scale)[:, None, None]
        return (upstream - mean[:, None, None] - y * slope) * scale[:, None, None], None


class _SumOverRanks(torch.autograd.Function):
    """All-reduce, whose gradient is the all-reduced gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _all_reduce(x.clone())

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        return _SumOverRanks.apply(upstream)


def _all_reduce(tensor: Tensor) -> Tensor:
    dist.all_reduce(tensor)
    return tensor
