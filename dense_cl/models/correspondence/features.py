"""Locations whose backbone features are most alike.

Shape suffixes: see ``dense_cl.models.correspondence.base``.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.models.correspondence.base import Correspondence, CorrespondenceProvider, Grid
from dense_cl.models.features import ViewFeatures
from dense_cl.registry import CORRESPONDENCES


def cosine_similarity(
    query: ViewFeatures, key: ViewFeatures, query_grid: Grid, key_grid: Grid
) -> Tensor:
    """Cosines of backbone features pooled to the grids, (B, S, T), in float32 at least.

    Never in half precision: features behind a ReLU have cosines near 1, where bfloat16 has steps
    of 0.004 and would tie most candidates.
    """
    with torch.autocast(query.last.device.type, enabled=False):
        query_BCS, key_BCT = cells(query, query_grid), cells(key, key_grid)
        norm_BST = query_BCS.norm(dim=1)[:, :, None] * key_BCT.norm(dim=1)[:, None]
        return query_BCS.transpose(1, 2) @ key_BCT / norm_BST.clamp_min(1e-12)


def cells(features: ViewFeatures, grid: Grid) -> Tensor:
    """Features of the last stage pooled to a grid, (B, C, S), detached, in float32 at least."""
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
        return Correspondence(similarity_BST.argmax(dim=2))


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
        return Correspondence(indices_BS, valid_BS=back_BS == itself_S)
