"""Convolutions whose weights are standardised."""

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
        rows = self.weight.flatten(1)
        rows = (rows - rows.mean(1, keepdim=True)) / (rows.std(1, keepdim=True) + _EPS)
        weight = rows.view_as(self.weight)
        return F.conv2d(
            x_BCHW, weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


def standardize_convolutions(module: nn.Module) -> None:
    """Replace every plain convolution in ``module`` by one that standardises the same weights."""
    for name, child in module.named_children():
        if type(child) is nn.Conv2d:
            setattr(module, name, _standardized(child))
        else:
            standardize_convolutions(child)


def _standardized(conv: nn.Conv2d) -> StandardizedConv2d:
    new = StandardizedConv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        conv.groups,
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
    )
    new.load_state_dict(conv.state_dict())
    return new
