"""What every way of matching locations returns.

Shape suffixes: B images, C channels, S query locations, T key locations, both row-major.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from dense_cl.models.features import ViewFeatures

Grid = tuple[int, int]


class Correspondence(NamedTuple):
    """Matched locations: either one partner each, or a matrix of any number of them.

    Attributes:
        indices_BS: (B, S) int64 key location of every query location; None for a matrix.
        weights_BST: (B, S, T) bool, or floating and not negative, how much each pair counts; None
            for single partners.
        valid_BS: (B, S) bool, which query locations to count; None counts all. A location that
            is not valid has no partner, whatever the other fields hold there.
    """

    indices_BS: Tensor | None = None
    weights_BST: Tensor | None = None
    valid_BS: Tensor | None = None

    def matrix(self, num_keys: int) -> Tensor:
        """Return every correspondence as weights of pairs, (B, S, T) float32, T = ``num_keys``."""
        if self.weights_BST is None:
            assert self.indices_BS is not None
            pairs_BST = F.one_hot(self.indices_BS, num_keys).float()
        else:
            pairs_BST = self.weights_BST.float()
        return pairs_BST if self.valid_BS is None else pairs_BST * self.valid_BS[:, :, None]


class CorrespondenceProvider(nn.Module):
    """Matches the locations of two views, without gradients.

    Attributes:
        soft: it returns a matrix of weights, not single partners.
        regions: what it reads of the views' regions; see ``Objective.regions``.
    """

    soft: bool = False
    regions: str | None = None

    def forward(
        self, query: ViewFeatures, key: ViewFeatures, query_grid: Grid, key_grid: Grid
    ) -> Correspondence:
        """Match every cell of ``query_grid`` with cells of ``key_grid`` (rows, columns)."""
        raise NotImplementedError
