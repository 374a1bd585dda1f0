"""Which location of the key view shows what a location of the query view shows.

Shape suffixes: B images, C channels, S query locations, T key locations, both row-major.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense_cl.models.features import ViewFeatures
from dense_cl.registry import CORRESPONDENCES
from dense_cl.views.geometry import cell_centres, cells_of_points, on_source

Grid = tuple[int, int]


class Correspondence(NamedTuple):
    """Matched locations.

    Attributes:
        indices_BS: (B, S) int64 key location of every query location.
        valid_BS: (B, S) bool, which of them to count; None counts all.
    """

    indices_BS: Tensor
    valid_BS: Tensor | None


class CorrespondenceProvider(nn.Module):
    """Matches the locations of two views, without gradients."""

    def forward(
        self, query: ViewFeatures, key: ViewFeatures, query_grid: Grid, key_grid: Grid
    ) -> Correspondence:
        """Match every cell of ``query_grid`` with one of ``key_grid`` (rows, columns)."""
        raise NotImplementedError


def cosine_similarity(
    query: ViewFeatures, key: ViewFeatures, query_grid: Grid, key_grid: Grid
) -> Tensor:
    """Cosines of backbone features pooled to the grids, (B, S, T), in float32 at least.

    Never in half precision: features behind a ReLU have cosines near 1, where bfloat16 has steps
    of 0.004 and would tie most candidates.
    """
    with torch.autocast(query.last.device.type, enabled=False):
        query_BCS, key_BCT = _cells(query, query_grid), _cells(key, key_grid)
        norm_BST = query_BCS.norm(dim=1)[:, :, None] * key_BCT.norm(dim=1)[:, None]
        return query_BCS.transpose(1, 2) @ key_BCT / norm_BST.clamp_min(1e-12)


def _cells(features: ViewFeatures, grid: Grid) -> Tensor:
    map_BCHW = features.last.detach()
    if map_BCHW.shape[2:] != grid:
        map_BCHW = F.adaptive_avg_pool2d(map_BCHW, grid)
    return map_BCHW.flatten(2).to(torch.promote_types(map_BCHW.dtype, torch.float32))


@CORRESPONDENCES.register_module()
class FeatureArgmax(CorrespondenceProvider):
    """The key location with the most similar backbone feature.

    Wang et al., arXiv 2011.09157, equation 4; WXinlong/DenseCL
    ``openselfsup/models/densecl.py``. Features come from before the heads and are pooled to the
    grid of the dense head if that pools.
    """

    @torch.no_grad()
    def forward(
        self, query: ViewFeatures, key: ViewFeatures, query_grid: Grid, key_grid: Grid
    ) -> Correspondence:
        """See ``CorrespondenceProvider``; every location is valid."""
        similarity_BST = cosine_similarity(query, key, query_grid, key_grid)
        return Correspondence(similarity_BST.argmax(dim=2), None)


@CORRESPONDENCES.register_module()
class MutualNearest(CorrespondenceProvider):
    """``FeatureArgmax`` restricted to pairs that choose each other."""

    @torch.no_grad()
    def forward(
        self, query: ViewFeatures, key: ViewFeatures, query_grid: Grid, key_grid: Grid
    ) -> Correspondence:
        """See ``CorrespondenceProvider``; valid where the match is mutual."""
        similarity_BST = cosine_similarity(query, key, query_grid, key_grid)
        indices_BS = similarity_BST.argmax(dim=2)
        back_BS = similarity_BST.argmax(dim=1).gather(1, indices_BS)
        itself_S = torch.arange(indices_BS.shape[1], device=indices_BS.device)
        return Correspondence(indices_BS, back_BS == itself_S)


@CORRESPONDENCES.register_module()
class GeometricNearest(CorrespondenceProvider):
    """The key cell that covers the centre of the query cell in the source image.

    Its centre is then the nearest one, at most half a cell away in either direction. Locations
    that the key view does not show, and padding, are invalid.
    """

    @torch.no_grad()
    def forward(
        self, query: ViewFeatures, key: ViewFeatures, query_grid: Grid, key_grid: Grid
    ) -> Correspondence:
        """See ``CorrespondenceProvider``; valid where the views overlap."""
        centres_BS2 = cell_centres(query.view, query_grid)
        indices_BS = cells_of_points(key.view, centres_BS2, key_grid)
        valid_BS = (indices_BS >= 0) & on_source(query.view, centres_BS2)
        return Correspondence(indices_BS.clamp_min(0), valid_BS)
