"""Regions of a view on the cells of a feature grid: shares, labels, areas, and what got lost.

Letters: B images, H x W pixels of a view, h x w cells, M chosen regions, R all regions.
"""

import torch
from torch import Tensor

from dense_cl.views.geometry import Size


def cell_shares(label_map_BHW: Tensor, grid: Size, num_regions: int | None = None) -> Tensor:
    """Area average of every region over the cells of a grid.

    Pixels that two cells share count for both by their overlap, so sizes need not divide. Sums
    are of integers: exact, and the same in any order.

    Args:
        label_map_BHW: (B, H, W) region ids, -1 for none.
        grid: rows and columns (h, w) of cells, at most H and W.
        num_regions: R, more than the largest id; by default found, which waits for the device.

    Returns:
        (B, R, h, w) float32 in [0, 1]; what is missing to 1 in a cell belongs to no region.
    """
    counts, whole = _counts(label_map_BHW, grid, num_regions)
    return counts[:, :-1] / whole


def region_shares(label_map_BHW: Tensor, ids_BM: Tensor, grid: Size) -> Tensor:
    """Area average of chosen regions over the cells of a grid: a soft mask of each.

    Args:
        label_map_BHW: (B, H, W) region ids, -1 for none.
        ids_BM: (B, M) ids; -1 and ids that the view does not show give masks of zeros.
        grid: rows and columns (h, w) of cells, at most H and W.

    Returns:
        (B, M, h, w) float32 in [0, 1].
    """
    shares = cell_shares(label_map_BHW, grid)
    known = (ids_BM >= 0) & (ids_BM < shares.shape[1])
    rows = ids_BM.where(known, 0).long()[..., None, None].expand(-1, -1, *grid)
    return shares.gather(1, rows) * known[..., None, None]


def cell_labels(label_map_BHW: Tensor, grid: Size) -> Tensor:
    """The region that covers most of each cell: area average, then argmax.

    Args:
        label_map_BHW: (B, H, W) region ids, -1 for none.
        grid: rows and columns (h, w) of cells, at most H and W.

    Returns:
        (B, h, w) int64 ids, the lowest of equals; -1 where more of the cell belongs to no region
        than to any.
    """
    counts, _ = _counts(label_map_BHW, grid, None)
    last = counts.shape[1] - 1
    order = torch.arange(last + 1, device=counts.device)[:, None, None]
    label = (counts * (last + 1) - order).argmax(dim=1)
    return torch.where(label == last, -1, label)


def region_areas(label_map_BHW: Tensor, num_regions: int | None = None) -> Tensor:
    """Share of the view that each region takes: (B, R) float32, zero for those not in view."""
    return cell_shares(label_map_BHW, (1, 1), num_regions)[:, :, 0, 0]


def drop_rate(first_BHW: Tensor, second_BHW: Tensor) -> Tensor:
    """Share of the regions seen in one view of B images that the other view does not show.

    Returns:
        Scalar float32 over all regions of the batch; 0 if the first view shows none.
    """
    largest = torch.maximum(first_BHW.amax(), second_BHW.amax())
    in_first, in_second = (
        region_areas(labels, int(largest) + 1) > 0 for labels in (first_BHW, second_BHW)
    )
    lost = (in_first & ~in_second).sum()
    return lost / in_first.sum().clamp(min=1)


def _counts(label_map_BHW: Tensor, grid: Size, num_regions: int | None) -> tuple[Tensor, int]:
    """Area of each region in each cell, the last one being none's, and that of a whole cell.

    The unit is 1 / (h * w) pixel, in which all overlaps of pixels and cells are whole numbers.
    """
    batch, height, width = label_map_BHW.shape
    if not (0 < grid[0] <= height and 0 < grid[1] <= width):
        raise ValueError(f"a grid of {grid} cells on a label map of {height} x {width} pixels")
    if num_regions is None:
        num_regions = int(label_map_BHW.amax()) + 1
    labels = label_map_BHW.long()
    bins = torch.where(labels < 0, num_regions, labels) * (grid[0] * grid[1])
    counts = labels.new_zeros(batch, (num_regions + 1) * grid[0] * grid[1])
    for row, part_y in _overlaps(height, grid[0], labels.device):
        for column, part_x in _overlaps(width, grid[1], labels.device):
            cell = row[:, None] * grid[1] + column
            weight = (part_y[:, None] * part_x).expand_as(labels)
            counts.scatter_add_(1, (bins + cell).flatten(1), weight.flatten(1))
    return counts.view(batch, num_regions + 1, *grid), height * width


def _overlaps(pixels: int, cells: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Cells that each pixel of an axis overlaps, and by how much, in units of 1 / cells pixel."""
    start = torch.arange(pixels, device=device) * cells
    first = start // pixels
    part = ((first + 1) * pixels - start).clamp(max=cells)
    overlaps = [(first, part)]
    if pixels % cells:
        overlaps.append(((first + 1).clamp(max=cells - 1), cells - part))
    return overlaps
