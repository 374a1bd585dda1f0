"""Deformable convolution v1 and v2, in the form of mmcv's extension, on torchvision's operator.

v1: arXiv 1703.06211; v2, modulated by a mask: arXiv 1811.11168. Offsets are (dy, dx) for each
kernel tap, groups of taps one after the other, in mmcv and torchvision alike.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

from dense_cl.transfer.mmcv_ops.precision import widen


class _Geometry(NamedTuple):
    """Rows before columns; ``groups`` of channels, ``deform_groups`` of channels per offset."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    deform_groups: int


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **geometry: int,
) -> None:
    """Fill ``output`` (B, C_out, H_out, W_out); ``columns`` and ``ones`` are mmcv's scratch space.

    Args:
        input: (B, C_in, H, W).
        weight: (C_out, C_in / groups, kH, kW).
        offset: (B, 2 · deform_groups · kH · kW, H_out, W_out).
        output: filled in place.
        columns: unused.
        ones: unused.
        geometry: kW, kH, dW, dH (strides), padW, padH, dilationW, dilationH, group,
            deformable_group, im2col_step.
    """
    output.copy_(_forward(input, weight, offset, None, None, _v1_geometry(geometry)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    """Fill ``grad_input`` and ``grad_offset``."""
    grads = _backward(grad_output, input, weight, offset, None, None, _v1_geometry(geometry))
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **geometry: int,
) -> None:
    """Add ``scale`` times the gradient of the weight to ``grad_weight``."""
    # The gradient of the weight does not depend on its values.
    weight = torch.zeros_like(grad_weight)
    grads = _backward(grad_output, input, weight, offset, None, None, _v1_geometry(geometry))
    grad_weight.add_(grads[1].to(grad_weight.dtype), alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    *,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Fill ``output`` as ``deform_conv_forward`` does, each tap weighted by ``mask``.

    ``mask`` is (B, deform_groups · kH · kW, H_out, W_out), ``bias`` (C_out,) if ``with_bias``;
    ``geometry`` is kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
    group, deformable_group.
    """
    used_bias = bias if with_bias else None
    output.copy_(_forward(input, weight, offset, mask, used_bias, _v2_geometry(geometry)))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    *,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Fill the five gradients; ``grad_bias`` only if ``with_bias``."""
    used_bias = bias if with_bias else None
    grads = _backward(grad_output, input, weight, offset, mask, used_bias, _v2_geometry(geometry))
    targets = [grad_input, grad_weight, grad_offset, grad_mask]
    for target, grad in zip(targets, grads, strict=False):
        target.copy_(grad)
    if with_bias:
        grad_bias.copy_(grads[4])


def _v1_geometry(options: dict[str, int]) -> _Geometry:
    return _Geometry(
        stride=(options["dH"], options["dW"]),
        padding=(options["padH"], options["padW"]),
        dilation=(options["dilationH"], options["dilationW"]),
        groups=options["group"],
        deform_groups=options["deformable_group"],
    )


def _v2_geometry(options: dict[str, int]) -> _Geometry:
    return _Geometry(
        stride=(options["stride_h"], options["stride_w"]),
        padding=(options["pad_h"], options["pad_w"]),
        dilation=(options["dilation_h"], options["dilation_w"]),
        groups=options["group"],
        deform_groups=options["deformable_group"],
    )


def _forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: _Geometry,
) -> Tensor:
    return deform_conv2d(
        widen(input),
        widen(offset),
        widen(weight),
        None if bias is None else widen(bias),
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
        mask=None if mask is None else widen(mask),
    )


def _backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: _Geometry,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of input, weight, offset, mask and bias."""
    input = widen(input)
    return torch.ops.torchvision._deform_conv2d_backward(
        widen(grad_output),
        input,
        widen(weight),
        widen(offset),
        input.new_zeros(len(input), 1) if mask is None else widen(mask),
        input.new_zeros(len(weight)) if bias is None else widen(bias),
        *geometry.stride,
        *geometry.padding,
        *geometry.dilation,
        geometry.groups,
        geometry.deform_groups,
        mask is not None,
    )
