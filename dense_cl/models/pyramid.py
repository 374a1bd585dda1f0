"""A feature pyramid with MMDetection's parameters, so that a detector can take it over."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dense_cl.errors import DenseCLError
from dense_cl.models.norm import norm_layer


class ConvNorm(nn.Module):
    """A convolution that keeps the size, normalisation and ReLU if wanted.

    The names of its parameters are those of MMCV's ``ConvModule`` (``conv``, and ``bn`` or
    ``gn``), and so is the rule that a normalised convolution has no bias.

    Args:
        in_channels: C of the input.
        out_channels: D of the output.
        kernel_size: odd side of the kernel.
        norm: 'BN', 'SyncBN' or 'GN'; None for none.
        relu: end with a ReLU.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        norm: str | None = None,
        relu: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=norm is None
        )
        if norm is not None:
            self.add_module("gn" if norm == "GN" else "bn", norm_layer(norm)(out_channels))
        self.relu = relu

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, D, H, W)."""
        for layer in self.children():
            map_BCHW = layer(map_BCHW)
        return F.relu(map_BCHW) if self.relu else map_BCHW


class FeaturePyramid(nn.Module):
    """FPN (Lin et al., arXiv 1612.03144): coarse maps are added to finer ones, top down.

    State dict and result are those of ``mmdet.FPN`` with ``num_outs`` at the number of maps;
    convolutions start as there (Xavier, uniform).

    Args:
        in_channels: of the backbone's maps, fine to coarse.
        out_channels: D of every level.
        norm: 'BN', 'SyncBN' or 'GN' behind every convolution; None for none.
        num_outputs: how many levels to return, the finest first; None for all.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        norm: str | None = None,
        num_outputs: int | None = None,
    ) -> None:
        super().__init__()
        num_outputs = len(in_channels) if num_outputs is None else num_outputs
        if not 1 <= num_outputs <= len(in_channels):
            raise DenseCLError(f"a pyramid on {len(in_channels)} maps has no {num_outputs} levels.")
        self.lateral_convs = nn.ModuleList(
            ConvNorm(channels, out_channels, 1, norm) for channels in in_channels
        )
        self.fpn_convs = nn.ModuleList(
            ConvNorm(out_channels, out_channels, 3, norm) for _ in range(num_outputs)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the levels, (B, D, H_l, W_l) each, fine to coarse."""
        laterals = [conv(map_BCHW) for conv, map_BCHW in zip(self.lateral_convs, maps, strict=True)]
        for level in range(len(laterals) - 1, 0, -1):
            size = laterals[level - 1].shape[2:]
            laterals[level - 1] = laterals[level - 1] + F.interpolate(laterals[level], size=size)
        return tuple(conv(lateral) for conv, lateral in zip(self.fpn_convs, laterals, strict=False))
