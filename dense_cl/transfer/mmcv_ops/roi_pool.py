"""RoIPool (Fast R-CNN, arXiv 1504.08083, section 2.1), in the form of mmcv's extension.

Two definitions are about. torchvision rounds the scaled box to cells, then divides it. mmcv, whose
only kernel is for CUDA, adds one pixel to x2 and y2, scales, and rounds each bin outwards. This is
**mmcv's**, so that a model gives the same numbers with the compiled operator: the bins are worked
out here, and each is handed to torchvision's kernel as a region of its own with a single bin.
"""

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from dense_cl.transfer.mmcv_ops.precision import widen


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill ``output`` with the maximum of each bin, zero for a bin without cells.

    Args:
        input: (B, C, H, W).
        rois: (R, 5) batch index, x1, y1, x2, y2 in image pixels, x2 and y2 inside.
        output: (R, C, pooled_height, pooled_width), filled in place.
        argmax: like ``output``, int32: index of the maximum in the H·W plane, -1 for an empty bin.
        pooled_height: bins per region, vertically.
        pooled_width: bins per region, horizontally.
        spatial_scale: feature cells per image pixel.
    """
    features = widen(input)
    boxes = rois.to(features.dtype)
    height, width = input.shape[2:]
    y1, y2 = _edges(boxes[:, 2], boxes[:, 4], pooled_height, height, spatial_scale)
    x1, x2 = _edges(boxes[:, 1], boxes[:, 3], pooled_width, width, spatial_scale)
    shape = (len(boxes), pooled_height, pooled_width)
    # Corners of bin (r, i, j); torchvision's cells are inclusive, hence the -1.
    corners = [x1[:, None, :], y1[:, :, None], x2[:, None, :] - 1, y2[:, :, None] - 1]
    batch = boxes[:, 0, None, None]
    bins = torch.stack([part.expand(shape) for part in [batch, *corners]], dim=-1)
    maximum, index = torch.ops.torchvision.roi_pool(features, bins.reshape(-1, 5), 1.0, 1, 1)
    empty = ((y2 <= y1)[:, :, None] | (x2 <= x1)[:, None, :])[:, None]
    output.copy_(maximum.view(*shape, -1).permute(0, 3, 1, 2).masked_fill(empty, 0))
    argmax.copy_(index.view(*shape, -1).permute(0, 3, 1, 2).masked_fill(empty, -1))


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill ``grad_input`` (B, C, H, W): a bin sends its gradient to the cell that was largest."""
    del pooled_height, pooled_width, spatial_scale  # argmax says it all
    batch_size, channels, height, width = grad_input.shape
    plane = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
    index = plane[:, :, None, None] * (height * width) + argmax
    pooled = argmax >= 0
    total = torch.zeros_like(grad_input, dtype=widen(grad_output).dtype).flatten()
    total.index_add_(0, index[pooled], grad_output[pooled].to(total.dtype))
    grad_input.copy_(total.view_as(grad_input))


def _edges(
    low: Tensor, high: Tensor, bins: int, cells: int, spatial_scale: float
) -> tuple[Tensor, Tensor]:
    """Return the first cell and the end (exclusive) of each bin along one axis, both (R, bins)."""
    start = (low * spatial_scale)[:, None]
    size = ((high + 1) * spatial_scale)[:, None] - start
    bin_index = torch.arange(bins, device=low.device)
    first = torch.floor(bin_index * (size / bins) + start).clamp(0, cells)
    end = torch.ceil((bin_index + 1) * (size / bins) + start).clamp(0, cells)
    return first, torch.where(size > 0, end, first)
