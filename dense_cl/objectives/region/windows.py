"""The same windows in two views.

Shape suffixes: B images, M windows of each, P their corners.
"""

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.views.batch import ViewBatch
from dense_cl.views.geometry import from_source, to_source, within_borders

_ROUNDING = 1e-6  # pixels


def window_grid(view_size: tuple[int, int], side: int, stride: int) -> Tensor:
    """Return all windows of a view, evenly placed around its centre, row by row.

    Args:
        view_size: height and width, in pixels.
        side: of the square windows, in pixels.
        stride: between neighbours, in pixels.

    Returns:
        (M, 4) float64 x1, y1, x2, y2 in pixels of the view.

    Raises:
        DenseCLError: the view is smaller than a window.
    """
    if min(view_size) < side:
        raise DenseCLError(f"windows of {side} pixels do not fit views of {view_size}.")
    starts = [
        (extent - side) % stride / 2
        + stride * torch.arange((extent - side) // stride + 1, dtype=torch.float64)
        for extent in view_size
    ]
    y1, x1 = torch.meshgrid(*starts, indexing="ij")
    corner_M2 = torch.stack([x1, y1], dim=-1).reshape(-1, 2)
    return torch.cat([corner_M2, corner_M2 + side], dim=1)


def map_windows(query: ViewBatch, key: ViewBatch, window_M4: Tensor) -> tuple[Tensor, Tensor]:
    """Map windows of one view to the pixels of the other.

    Args:
        query: the view that the windows are of.
        key: the other view of the same images. Flips, quarter turns and different scales along
            the sides keep boxes boxes; the two views may differ by any of these.
        window_M4: x1, y1, x2, y2 in pixels of the query view.

    Returns:
        (B, M, 4) float64 boxes in pixels of the key view; and (B, M) bool, which of them count:
        wholly in the key view, and on the source image, not on padding or fill of either view.

    Raises:
        DenseCLError: the views of an image are turned or sheared against each other.
    """
    _require_boxes(query, key)
    # All four: where both views are turned alike, a window lies askew in the source.
    corner_M42 = window_M4.to(query.matrix)[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    corner_BP2 = to_source(query, corner_M42.flatten(0, 1))
    mapped_BP2 = from_source(key, corner_BP2)
    height, width = key.view_size
    counts_BP = _within(corner_BP2, query.source_size.flip(-1)[:, None])
    counts_BP &= _within(mapped_BP2, mapped_BP2.new_tensor([width, height]))
    for view in (query, key):
        counts_BP &= within_borders(view, corner_BP2)
    mapped_BM42 = mapped_BP2.unflatten(1, (-1, 4))
    box_BM4 = torch.cat([mapped_BM42.amin(dim=2), mapped_BM42.amax(dim=2)], dim=-1)
    return box_BM4, counts_BP.unflatten(1, (-1, 4)).all(dim=2)


def _within(points_BP2: Tensor, extent: Tensor) -> Tensor:
    return ((points_BP2 >= -_ROUNDING) & (points_BP2 <= extent + _ROUNDING)).all(dim=2)


def _require_boxes(query: ViewBatch, key: ViewBatch) -> None:
    relation_B22 = torch.linalg.solve(key.matrix[:, :, :2], query.matrix[:, :, :2])
    size_B = relation_B22.abs().amax(dim=(1, 2))
    straight_B = relation_B22.diagonal(dim1=1, dim2=2).abs().amax(dim=1)
    across_B = relation_B22.flip(2).diagonal(dim1=1, dim2=2).abs().amax(dim=1)
    if bool((torch.minimum(straight_B, across_B) > _ROUNDING * size_B).any()):
        raise DenseCLError(
            "ReSim: the views of an image are turned or sheared against each other, so that a"
            " window of one is no box in the other; flips and quarter turns are fine. Remove"
            " Rotate, Affine(rotate=..., shear=...) and their like from the transforms."
        )
