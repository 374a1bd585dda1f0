"""Locations that show the same region of the image."""

import torch

from dense_cl.models.correspondence.base import Correspondence, CorrespondenceProvider, Grid
from dense_cl.models.features import ViewFeatures
from dense_cl.models.region_cells import cell_labels
from dense_cl.registry import CORRESPONDENCES


@CORRESPONDENCES.register_module()
class RegionIds(CorrespondenceProvider):
    """All key cells that lie, for the most part, in the region of the query cell.

    A cell has the region that covers most of it (``dense_cl.models.region_cells.cell_labels``);
    where that is none, or the key view does not show it, the location is not valid.
    """

    soft = True
    regions = "label_map"

    @torch.no_grad()
    def forward(
        self, query: ViewFeatures, key: ViewFeatures, query_grid: Grid, key_grid: Grid
    ) -> Correspondence:
        """See ``CorrespondenceProvider``; valid where the key view shows the region."""
        assert query.view.regions is not None and key.view.regions is not None  # the Learner looked
        assert query.view.regions.label_map is not None and key.view.regions.label_map is not None
        label_BS = cell_labels(query.view.regions.label_map, query_grid).flatten(1)
        label_BT = cell_labels(key.view.regions.label_map, key_grid).flatten(1)
        same_BST = (label_BS[:, :, None] == label_BT[:, None]) & (label_BS >= 0)[:, :, None]
        return Correspondence(weights_BST=same_BST, valid_BS=same_BST.any(dim=2))
