"""RoIAlign with average and max pooling, in the form of mmcv's extension.

Mask R-CNN, arXiv 1703.06870, section 3. Average pooling is torchvision's operator. Max pooling is
built on it: asked for one output per sampling point, it returns the samples, and the maximum over
each bin's samples is ordinary max pooling.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from dense_cl.transfer.mmcv_ops.precision import widen

_MAX = 0  # mmcv's pool_mode


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``output`` with the pooled regions.

    Args:
        input: (B, C, H, W).
        rois: (R, 5) batch index, x1, y1, x2, y2 in image pixels.
        output: (R, C, aligned_height, aligned_width), filled in place.
        argmax_y: like ``output`` for max pooling, filled with the row, within its bin, of the
            sample that won; the backward pass reads it. A bin without samples pools to zero.
        argmax_x: its column.
        aligned_height: bins per region, vertically.
        aligned_width: bins per region, horizontally.
        spatial_scale: feature cells per image pixel.
        sampling_ratio: samples per bin and axis; 0: one per feature cell, rounded up.
        pool_mode: 0 max, 1 average.
        aligned: shift by half a cell, so that cell centres lie at .5.
    """
    features = widen(input)
    boxes = rois.to(features.dtype)
    bins = (aligned_height, aligned_width)
    if pool_mode != _MAX:
        output.copy_(_pool(features, boxes, spatial_scale, bins, sampling_ratio, aligned))
        return
    output.zero_()
    for group, grid in _same_grid(boxes, spatial_scale, bins, sampling_ratio, aligned):
        fine = (bins[0] * grid[0], bins[1] * grid[1])
        samples = _pool(features, boxes[group], spatial_scale, fine, 1, aligned)
        maximum, index = F.max_pool2d(samples, grid, return_indices=True)
        output[group] = maximum.to(output.dtype)
        argmax_y[group] = (index // fine[1] % grid[0]).to(argmax_y.dtype)
        argmax_x[group] = (index % fine[1] % grid[1]).to(argmax_x.dtype)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``grad_input`` (B, C, H, W) from ``grad_output`` (R, C, height, width)."""
    grad = widen(grad_output)
    boxes = rois.to(grad.dtype)
    bins, shape = (aligned_height, aligned_width), grad_input.shape
    if pool_mode != _MAX:
        grad_input.copy_(_unpool(grad, boxes, spatial_scale, bins, shape, sampling_ratio, aligned))
        return
    row = torch.arange(bins[0], device=grad.device)[:, None]
    column = torch.arange(bins[1], device=grad.device)
    total = torch.zeros_like(grad_input, dtype=grad.dtype)
    for group, grid in _same_grid(boxes, spatial_scale, bins, sampling_ratio, aligned):
        fine = (bins[0] * grid[0], bins[1] * grid[1])
        index = (row * grid[0] + argmax_y[group].long()) * fine[1]
        index += column * grid[1] + argmax_x[group].long()
        grad_samples = F.max_unpool2d(grad[group], index, grid, output_size=fine)
        total += _unpool(grad_samples, boxes[group], spatial_scale, fine, shape, 1, aligned)
    grad_input.copy_(total)


def _same_grid(
    rois: Tensor, spatial_scale: float, bins: tuple[int, int], sampling_ratio: int, aligned: bool
) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    """Yield the regions (indices) that share a number of samples per bin (rows, columns)."""
    if sampling_ratio > 0:
        if len(rois):
            yield torch.arange(len(rois), device=rois.device), (sampling_ratio, sampling_ratio)
        return
    size_R2 = (rois[:, [4, 3]] - rois[:, [2, 1]]) * spatial_scale
    if not aligned:
        size_R2 = size_R2.clamp(min=1)
    # mmcv rounds up in float32 whatever the input; a bin of 3 + 1e-12 cells has 3 samples.
    grid_R2 = torch.ceil((size_R2 / size_R2.new_tensor(bins)).float()).long()
    for grid in torch.unique(grid_R2, dim=0):
        rows, columns = grid.tolist()
        if rows > 0 and columns > 0:
            yield (grid_R2 == grid).all(dim=1).nonzero()[:, 0], (rows, columns)


def _pool(
    input: Tensor, rois: Tensor, scale: float, bins: tuple[int, int], sampling: int, aligned: bool
) -> Tensor:
    return torch.ops.torchvision.roi_align(input, rois, scale, *bins, sampling, aligned)


def _unpool(
    grad: Tensor,
    rois: Tensor,
    scale: float,
    bins: tuple[int, int],
    shape: torch.Size,
    sampling: int,
    aligned: bool,
) -> Tensor:
    return torch.ops.torchvision._roi_align_backward(
        grad, rois, scale, *bins, *shape, sampling, aligned
    )
