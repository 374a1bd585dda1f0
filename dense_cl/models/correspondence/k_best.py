"""Nearest neighbours, of which the closest pairs of a view are kept (VICRegL).

Bardes et al., arXiv 2210.01571; facebookresearch/VICRegL ``main_vicregl.py``. Shape suffixes: see
``dense_cl.models.correspondence.base``.
"""

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.models.correspondence.base import Correspondence, CorrespondenceProvider, Grid
from dense_cl.models.correspondence.features import cells
from dense_cl.models.correspondence.geometric import distances
from dense_cl.models.features import ViewFeatures
from dense_cl.registry import CORRESPONDENCES
from dense_cl.views.batch import ViewBatch
from dense_cl.views.geometry import (
    Size,
    cell_centres,
    cells_of_points,
    from_source,
    on_source,
    to_source,
)

_ROUNDING = 1e-6  # cells
_DECIMALS = 6  # source pixels


def k_best(distance_BST: Tensor, count: int) -> Correspondence:
    """Give every query location its nearest key location and keep the ``count`` closest pairs.

    Of those as near, the first.

    Args:
        distance_BST: (B, S, T); infinite for pairs that must not match.
        count: pairs to keep of every image; -1, or more than S, keeps all.
    """
    distance_BS, indices_BS = distance_BST.min(dim=2)
    valid_BS = distance_BS.isfinite()
    if 0 <= count < valid_BS.shape[1]:
        closest_BK = distance_BS.sort(dim=1, stable=True).indices[:, :count]
        valid_BS &= torch.zeros_like(valid_BS).scatter(1, closest_BK, True)
    return Correspondence(indices_BS, valid_BS=valid_BS)


class _KBest(CorrespondenceProvider):
    def __init__(self, count: int = 20) -> None:
        super().__init__()
        if count < 1 and count != -1:
            raise DenseCLError(
                f"{type(self).__name__}: count={count} keeps no pair; give at least 1, or -1 for"
                " all."
            )
        self.count = count

    def extra_repr(self) -> str:
        return str(self.count)


@CORRESPONDENCES.register_module()
class KBestFeatures(_KBest):
    """The key location with the nearest feature of the last stage, for the best locations only.

    Distances are Euclidean. VICRegL measures them between projections, so its objective hands
    those over in place of the stages.

    Args:
        count: locations to keep; -1 for all.
    """

    @torch.no_grad()
    def forward(
        self, query: ViewFeatures, key: ViewFeatures, query_grid: Grid, key_grid: Grid
    ) -> Correspondence:
        """See ``CorrespondenceProvider``; valid are the ``count`` closest pairs."""
        with torch.autocast(query.last.device.type, enabled=False):
            query_BSC, key_BTC = cells(query, query_grid).mT, cells(key, key_grid).mT
            return k_best(torch.cdist(query_BSC, key_BTC), self.count)


@CORRESPONDENCES.register_module()
class KBestLocations(_KBest):
    """The key location nearest in the source image, for the best locations only.

    A location has a partner if the key view shows its centre, which is then within half a cell,
    along both sides, of the partner's. Padding and the fill of a rotation match nothing.

    Args:
        count: locations to keep; -1 for all.
        any_distance: where views overlap at all, the closest pairs match however far apart they
            are. The released code does so, for views that do not overlap as well.
        ignore_flips: measure as if no view were mirrored, which puts the cells of a mirrored view
            in the wrong columns. It is the released default (``--no-flip-grid 1`` of
            ``main_vicregl.py``: ``transforms.py`` then leaves the columns of the grid in the
            order of the unflipped crop).
    """

    def __init__(
        self, count: int = 20, ignore_flips: bool = False, any_distance: bool = False
    ) -> None:
        super().__init__(count)
        self.any_distance = any_distance
        self.locate = crop_centres if ignore_flips else cell_centres

    @torch.no_grad()
    def forward(
        self, query: ViewFeatures, key: ViewFeatures, query_grid: Grid, key_grid: Grid
    ) -> Correspondence:
        """See ``CorrespondenceProvider``; valid are the ``count`` closest pairs, at most."""
        query_BS2, key_BT2 = self.locate(query.view, query_grid), self.locate(key.view, key_grid)
        on_BS, on_BT = on_source(query.view, query_BS2), on_source(key.view, key_BT2)
        seen_BS = on_BS & (cells_of_points(key.view, query_BS2, key_grid) >= 0)
        if self.any_distance:
            seen_BT = on_BT & (cells_of_points(query.view, key_BT2, query_grid) >= 0)
            overlap_B = seen_BS.any(dim=1) | seen_BT.any(dim=1)
            allowed_BST = overlap_B[:, None, None] & on_BS[:, :, None] & on_BT[:, None]
        else:
            near_BST = within_half_a_cell(key.view, query_BS2, key_BT2, key_grid)
            allowed_BST = near_BST & seen_BS[:, :, None] & on_BT[:, None]
        # Grids have many pairs as near as each other, up to how a processor rounds.
        distance_BST = distances(query_BS2, key_BT2).round(decimals=_DECIMALS)
        return k_best(distance_BST.where(allowed_BST, torch.inf), self.count)


def within_half_a_cell(
    view: ViewBatch, points_BS2: Tensor, centres_BT2: Tensor, grid: Size
) -> Tensor:
    """Tell which source positions lie in the cells around which centres of a view's grid."""
    cells_per_pixel = view.matrix.new_tensor(
        [grid[1] / view.view_size[1], grid[0] / view.view_size[0]]
    )
    point_BS2, centre_BT2 = (
        from_source(view, positions) * cells_per_pixel for positions in (points_BS2, centres_BT2)
    )
    offset_BST2 = (point_BS2[:, :, None] - centre_BT2[:, None]).abs()
    return (offset_BST2 <= 0.5 + _ROUNDING).all(dim=3)


def crop_centres(view: ViewBatch, grid: Size) -> Tensor:
    """Centres of a grid laid over the box of the source that a view shows, however it is turned.

    Returns:
        (B, grid_h * grid_w, 2) float64 as x, y, row-major: those of ``cell_centres`` where no
        view is mirrored or rotated.
    """
    height, width = view.view_size
    corners = view.matrix.new_tensor([[0, 0], [width, 0], [width, height], [0, height]])
    outline_B42 = to_source(view, corners)
    low_B12, high_B12 = outline_B42.amin(dim=1, keepdim=True), outline_B42.amax(dim=1, keepdim=True)
    rows, columns = (
        (torch.arange(cells, device=corners.device, dtype=corners.dtype) + 0.5) / cells
        for cells in grid
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return low_B12 + torch.stack([x, y], dim=-1).flatten(0, 1) * (high_B12 - low_B12)
