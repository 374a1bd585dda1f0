"""Layers whose weights are standardised."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPS = 1e-5


class StandardizedConv2d(nn.Conv2d):
    r"""Convolution with :math:`(w - \mu) / (\sigma + 10^{-5})`, per output channel.

    Weight standardisation (Qiao et al., arXiv 1903.10520, section 3), with the unbiased
    :math:`\sigma` and the constant of mmcv's ``ConvWS2d``, so that MMDetection's ``ConvWS`` models
    compute the same from the same weights. The state dict is that of ``nn.Conv2d``.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Convolve."""
        weight = _standardized(self.weight)
        return F.conv2d(
            x_BCHW, weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


class StandardizedLinear(nn.Linear):
    """Linear layer with weights standardised per output, as ``StandardizedConv2d`` of size 1."""

    def forward(self, x_ND: Tensor) -> Tensor:
        """Multiply (..., D_in) into (..., D_out)."""
        return F.linear(x_ND, _standardized(self.weight), self.bias)


def standardize_weights_of(module: nn.Module) -> None:
    """Make every plain convolution and linear layer in ``module`` standardise its weights.

    The parameters stay the same objects, and the state dict the same.
    """
    kinds: dict[type, type] = {nn.Conv2d: StandardizedConv2d, nn.Linear: StandardizedLinear}
    for layer in module.modules():
        layer.__class__ = kinds.get(type(layer), type(layer))


def _standardized(weight: Tensor) -> Tensor:
    dims = tuple(range(1, weight.dim()))  # not flattened, which would leave channels_last memory
    centred = weight - weight.mean(dims, keepdim=True)
    # torch.std takes ten times as long on a CPU, in float32, as a norm of what is centred anyway.
    norm = torch.linalg.vector_norm(centred, dim=dims, keepdim=True)
    return centred * (1 / (norm / math.sqrt(weight[0].numel() - 1) + _EPS))
