"""Locations that show the same place of the source image.

Shape suffixes: see ``dense_cl.models.correspondence.base``.
"""

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.models.correspondence.base import Correspondence, CorrespondenceProvider, Grid
from dense_cl.models.features import ViewFeatures
from dense_cl.registry import CORRESPONDENCES
from dense_cl.views.batch import ViewBatch
from dense_cl.views.geometry import cell_centres, cells_of_points, on_source


def distances(query_BS2: Tensor, key_BT2: Tensor) -> Tensor:
    """Euclidean distances of points, (B, S, T), without the cancellation of a matrix product."""
    return torch.cdist(query_BS2, key_BT2, compute_mode="donot_use_mm_for_euclid_dist")


def cell_diagonals(view: ViewBatch, grid: Grid) -> Tensor:
    """Longer diagonal of a cell of the view's grid, (B,) float64, in source pixels."""
    size = [view.view_size[1] / grid[1], view.view_size[0] / grid[0]]
    across, down = (view.matrix[:, :, :2] * view.matrix.new_tensor(size)).unbind(dim=2)
    return torch.maximum((across + down).norm(dim=1), (across - down).norm(dim=1))


@CORRESPONDENCES.register_module()
class GeometricNearest(CorrespondenceProvider):
    """The key cell that covers the centre of the query cell in the source image.

    Its centre is then the nearest one, at most half a cell away in either direction. Locations
    that the key view does not show are invalid, and so are cells of either view whose centre is
    padding or the fill of a rotation.
    """

    @torch.no_grad()
    def forward(
        self, query: ViewFeatures, key: ViewFeatures, query_grid: Grid, key_grid: Grid
    ) -> Correspondence:
        """See ``CorrespondenceProvider``; valid where the views overlap."""
        centres_BS2 = cell_centres(query.view, query_grid)
        indices_BS = cells_of_points(key.view, centres_BS2, key_grid)
        valid_BS = (indices_BS >= 0) & on_source(query.view, centres_BS2)
        indices_BS = indices_BS.clamp_min(0)
        valid_BS &= on_source(key.view, cell_centres(key.view, key_grid)).gather(1, indices_BS)
        return Correspondence(indices_BS, valid_BS=valid_BS)


@CORRESPONDENCES.register_module()
class DistanceThreshold(CorrespondenceProvider):
    """All key cells whose centre lies near that of the query cell.

    Near is less than ``threshold`` diagonals of a cell, of that view whose cells are larger in the
    source (Xie et al., arXiv 2011.10043, section 3.1, equation 1; zdaxie/PixPro
    ``contrast/models/PixPro.py``). Distances are in source pixels. The released code
    (``contrast/data/transform_coord.py``) instead divides x by the image's width - 1 and y by its
    height - 1, which in an image that is not square counts a step along the shorter side for more.

    Args:
        threshold: largest distance, in diagonals; above 0.

    Raises:
        DenseCLError: a threshold that is not positive.
    """

    soft = True

    def __init__(self, threshold: float = 0.7) -> None:
        super().__init__()
        if threshold <= 0:
            raise DenseCLError(
                f"DistanceThreshold: threshold={threshold} lets no pair match; it must be above 0"
                " (0.7 in the paper)."
            )
        self.threshold = threshold

    @torch.no_grad()
    def forward(
        self, query: ViewFeatures, key: ViewFeatures, query_grid: Grid, key_grid: Grid
    ) -> Correspondence:
        """See ``CorrespondenceProvider``; valid where some key cell is near, never fill."""
        centres_BS2 = cell_centres(query.view, query_grid)
        centres_BT2 = cell_centres(key.view, key_grid)
        diagonal_B = torch.maximum(
            cell_diagonals(query.view, query_grid), cell_diagonals(key.view, key_grid)
        )
        near_BST = distances(centres_BS2, centres_BT2) < self.threshold * diagonal_B[:, None, None]
        near_BST &= on_source(query.view, centres_BS2)[:, :, None]
        near_BST &= on_source(key.view, centres_BT2)[:, None]
        return Correspondence(weights_BST=near_BST, valid_BS=near_BST.any(dim=2))
