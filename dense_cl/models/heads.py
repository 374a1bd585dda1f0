"""Projection heads: one vector per view, or one per location."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from dense_cl.errors import DenseCLError, nearest
from dense_cl.models.norm import norm_layer
from dense_cl.models.standardized import standardize_weights_of
from dense_cl.registry import HEADS

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": partial(nn.ReLU, inplace=True),
    "GELU": nn.GELU,
}


def _perceptron(
    in_channels: int,
    hidden_channels: int,
    out_channels: int,
    num_layers: int,
    norm: str | None = None,
    norm_last: bool = False,
    activation: str = "ReLU",
    standardize_weights: bool = False,
) -> nn.Sequential:
    """Stack linear layers with (normalisation and) an activation between."""
    if num_layers < 0:
        raise DenseCLError(f"num_layers is {num_layers}; a head cannot have fewer than none.")
    if activation not in _ACTIVATIONS:
        raise DenseCLError(
            f"no activation is called '{activation}'.{nearest(activation, _ACTIVATIONS)}"
        )
    widths = [in_channels, *[hidden_channels] * (num_layers - 1), out_channels][: num_layers + 1]
    layers: list[nn.Module] = []
    for number, (width_in, width_out) in enumerate(pairwise(widths), start=1):
        last = number == num_layers
        normed = norm is not None and (norm_last or not last)
        layers.append(nn.Linear(width_in, width_out, bias=not normed))
        if norm is not None and normed:
            # The papers that normalise the last layer do it without scale and shift.
            layers.append(norm_layer(norm, vectors=True)(width_out, affine=not last))
        if not last:
            layers.append(_ACTIVATIONS[activation]())
    perceptron = nn.Sequential(*layers)
    if standardize_weights:
        standardize_weights_of(perceptron)
    return perceptron


@HEADS.register_module()
class MLPHead(nn.Module):
    """Global average pooling (of maps), then a perceptron.

    Two layers are the head of MoCo v2 (arXiv 2003.04297) and the global branch of
    WXinlong/DenseCL ``openselfsup/models/necks.py``; ``num_layers=1`` is the linear head of
    MoCo v1 (``hidden_channels`` is then unused). The other methods normalise between their layers.

    Args:
        in_channels: channels of the feature map.
        hidden_channels: width of the hidden layers.
        out_channels: dimension of the projection.
        num_layers: number of linear layers; 0 for the pooled features themselves.
        norm: 'BN', 'SyncBN' or 'GN' after every linear layer (which then has no bias) but the
            last; None for none.
        norm_last: normalise after the last layer as well, without scale and shift.
        activation: 'ReLU' or 'GELU' (SlotCon, Leopart).
        standardize_weights: standardise the weights of the linear layers. Their rows then sum to
            zero, which takes out what all images have in common where no BatchNorm does.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 2048,
        out_channels: int = 128,
        num_layers: int = 2,
        norm: str | None = None,
        norm_last: bool = False,
        activation: str = "ReLU",
        standardize_weights: bool = False,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels if num_layers else in_channels
        self.layers = _perceptron(
            in_channels,
            hidden_channels,
            out_channels,
            num_layers,
            norm,
            norm_last,
            activation,
            standardize_weights,
        )

    def forward(self, features: Tensor) -> Tensor:
        """Project feature maps, (B, C, H, W), or pooled ones, (B, C), to raw vectors, (B, D)."""
        return self.layers(features.mean(dim=(2, 3)) if features.dim() == 4 else features)


@HEADS.register_module()
class Predictor(nn.Module):
    """A perceptron from projections to predictions (BYOL, arXiv 2006.07733, section 3.3).

    Args:
        in_channels: dimension D of the projections; predictions have the same.
        hidden_channels: width of the hidden layers.
        num_layers: number of linear layers; 0 for no predictor.
        norm: as for ``MLPHead``.
        norm_last: as for ``MLPHead``.
        activation: as for ``MLPHead``.
        standardize_weights: as for ``MLPHead``.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 4096,
        num_layers: int = 2,
        norm: str | None = "BN",
        norm_last: bool = False,
        activation: str = "ReLU",
        standardize_weights: bool = False,
    ) -> None:
        super().__init__()
        self.layers = _perceptron(
            in_channels,
            hidden_channels,
            in_channels,
            num_layers,
            norm,
            norm_last,
            activation,
            standardize_weights,
        )

    def forward(self, projection_ND: Tensor) -> Tensor:
        """Map raw vectors, (N, D), to raw vectors, (N, D)."""
        return self.layers(projection_ND)


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
        norm: as for ``MLPHead``, over all locations of all images.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int = 2048,
        out_channels: int = 128,
        num_layers: int = 2,
        grid_size: int | None = None,
        norm: str | None = None,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels if num_layers else in_channels
        self.grid_size = grid_size
        self.layers = _perceptron(in_channels, hidden_channels, out_channels, num_layers, norm)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Project a feature map, (B, C, H, W), to raw vectors per location, (B, D, h, w)."""
        if self.grid_size is not None:
            map_BCHW = F.adaptive_avg_pool2d(map_BCHW, self.grid_size)
        # A 1x1 convolution is a linear layer on channels_last maps, where this permute is free;
        # as one it takes two thirds of the time on a CPU.
        cells_BHWC = map_BCHW.permute(0, 2, 3, 1)
        projected_ND = self.layers(cells_BHWC.flatten(0, 2))
        return projected_ND.unflatten(0, cells_BHWC.shape[:3]).permute(0, 3, 1, 2)
