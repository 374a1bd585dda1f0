"""Projection heads: one vector per view, or one per location."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from dense_cl.errors import DenseCLError
from dense_cl.registry import HEADS


def _perceptron(
    in_channels: int, hidden_channels: int, out_channels: int, num_layers: int
) -> nn.Sequential:
    """Stack linear layers with ReLU between."""
    if num_layers < 1:
        raise DenseCLError(f"num_layers is {num_layers}; a head has at least one layer.")
    widths = [in_channels, *[hidden_channels] * (num_layers - 1), out_channels]
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


@HEADS.register_module()
class MLPHead(nn.Module):
    """Global average pooling, then a perceptron.

    Two layers are the head of MoCo v2 (arXiv 2003.04297) and the global branch of
    WXinlong/DenseCL ``openselfsup/models/necks.py``; ``num_layers=1`` is the linear head of
    MoCo v1 (``hidden_channels`` is then unused).

    Args:
        in_channels: channels of the feature map.
        hidden_channels: width of the hidden layers.
        out_channels: dimension of the projection.
        num_layers: number of linear layers.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 2048,
        out_channels: int = 128,
        num_layers: int = 2,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.layers = _perceptron(in_channels, hidden_channels, out_channels, num_layers)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Project a feature map, (B, C, H, W), to raw vectors, (B, D)."""
        return self.layers(map_BCHW.mean(dim=(2, 3)))


@HEADS.register_module()
class DenseMLPHead(nn.Module):
    """Optional average pooling to a grid, then a perceptron at every location.

    The dense branch of WXinlong/DenseCL ``openselfsup/models/necks.py`` (arXiv 2011.09157,
    section 3.2). With ``grid_size`` the objective matches backbone features pooled to the same
    grid; the authors' code pools the head (``num_grid``) but not the matching, so there the
    correspondences index another grid.

    Args:
        in_channels: channels of the feature map.
        hidden_channels: width of the hidden layers.
        out_channels: dimension of the projection.
        num_layers: number of 1x1 convolutions (linear layers over channels).
        grid_size: side of the grid of locations; None keeps that of the feature map.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 2048,
        out_channels: int = 128,
        num_layers: int = 2,
        grid_size: int | None = None,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.grid_size = grid_size
        self.layers = _perceptron(in_channels, hidden_channels, out_channels, num_layers)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Project a feature map, (B, C, H, W), to raw vectors per location, (B, D, h, w)."""
        if self.grid_size is not None:
            map_BCHW = F.adaptive_avg_pool2d(map_BCHW, self.grid_size)
        # A 1x1 convolution is a linear layer on channels_last maps, where this permute is free;
        # as one it takes two thirds of the time on a CPU.
        return self.layers(map_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
