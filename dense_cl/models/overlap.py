"""A grid of cells over what two views both show, and features of either view on it.

Shape suffixes: B images, C channels, S cells of the grid in row-major order.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.views.batch import ViewBatch
from dense_cl.views.geometry import Size, from_source, grid_centres, on_source, to_source


class OverlapGrid:
    """Cells that mean the same places of the source in both views.

    The inverse augmentation of SlotCon (Wen et al., arXiv 2205.15288, section 3.1; ``invaug`` of
    CVMI-Lab/SlotCon ``models/slotcon.py``) and the alignment of Leopart (Ziegler and Asano, arXiv
    2204.13101, section 3.2): crop the overlap out of a feature map, resize it, undo the flip.
    Those codes know crops and flips, where the overlap is a box and RoIAlign reads it. Here the
    grid lies upright in the source and its cells are mapped into a view by the view's geometry,
    so every affine view will do. For crops and flips the result is theirs: the box is the
    overlap and all cells are valid. Under rotation and shear it is the part common to the upright
    boxes around the views and to the source, and cells that a view does not show are invalid.

    Args:
        first: one view of B images.
        second: another view of the same images.
        size: rows and columns of the grid.

    Attributes:
        box: (B, 4) float64 x1, y1, x2, y2 in source pixels; of no area where views do not meet.
        valid_BS: (B, S) bool, the centre of the cell lies in both views and on the source, and
            neither is filled there. False throughout where the views do not meet.
    """

    def __init__(self, first: ViewBatch, second: ViewBatch, size: Size) -> None:
        self.size = size
        frame = F.pad(first.source_size.flip(-1).to(first.matrix), (2, 0))
        boxes = torch.stack([_outer_box(first), _outer_box(second), frame])
        start, end = boxes[..., :2].amax(dim=0), boxes[..., 2:].amin(dim=0)
        meet_B = (start < end).all(dim=1)
        self.box = torch.cat([start, torch.maximum(start, end)], dim=1)
        points_BS2 = self.points(size)
        seen = [_shows(view, points_BS2) for view in (first, second)]
        on = [on_source(view, points_BS2) for view in (first, second)]
        self.valid_BS = seen[0] & seen[1] & on[0] & on[1] & meet_B[:, None]

    def points(self, size: Size) -> Tensor:
        """Centres of a grid of any size over the box: (B, rows * columns, 2) in source pixels."""
        share_S2 = torch.from_numpy(grid_centres((1, 1), size)).to(self.box)
        start, end = self.box[:, None, :2], self.box[:, None, 2:]
        return start + share_S2 * (end - start)

    def sample(self, map_BCHW: Tensor, view: ViewBatch) -> Tensor:
        """Read a feature map of one of the views on the grid.

        Bilinear, with half-pixel centres, and values at the border extended beyond it, as RoIAlign
        reads. Where the map has more cells than the grid, a cell of the grid is the mean of
        n x n readings, with n = ceil(cells of the map / cells of the grid): RoIAlign's own
        number if the views overlap wholly, more than that if less.

        Returns:
            (B, C, rows, columns) in float32 at least; meaningless where invalid.
        """
        rows, columns = self.size
        oversampling = max(
            math.ceil(map_BCHW.shape[2] / rows), math.ceil(map_BCHW.shape[3] / columns)
        )
        fine = (rows * oversampling, columns * oversampling)
        position = from_source(view, self.points(fine)) / view.matrix.new_tensor(
            [view.view_size[1], view.view_size[0]]
        )
        # Rounded only here: a source may be wider than float32 can tell apart.
        dtype = torch.promote_types(map_BCHW.dtype, torch.float32)
        where = (2 * position - 1).to(dtype).unflatten(1, fine)
        read = F.grid_sample(
            map_BCHW.to(dtype), where, mode="bilinear", padding_mode="border", align_corners=False
        )
        return F.avg_pool2d(read, oversampling) if oversampling > 1 else read


def _outer_box(view: ViewBatch) -> Tensor:
    """The smallest upright box around a view, (B, 4) in source pixels."""
    height, width = view.view_size
    corners = view.matrix.new_tensor([[0, 0], [width, 0], [width, height], [0, height]])
    outline = to_source(view, corners)
    return torch.cat([outline.amin(dim=1), outline.amax(dim=1)], dim=1)


def _shows(view: ViewBatch, points_BS2: Tensor) -> Tensor:
    """Tell which source positions lie in the view; rounding does not push one off its border."""
    position = from_source(view, points_BS2)
    extent = view.matrix.new_tensor([view.view_size[1], view.view_size[0]])
    return ((position >= -1e-6) & (position <= extent + 1e-6)).all(dim=-1)
