"""Barlow Twins: projections that agree between views and share nothing between dimensions."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from dense_cl.losses.barlow_twins import barlow_twins
from dense_cl.models.distributed import gather_sizes, gather_with_gradient
from dense_cl.models.features import FeatureBundle, ObjectiveOutput
from dense_cl.objectives.base import Objective
from dense_cl.registry import HEADS, OBJECTIVES


@OBJECTIVES.register_module()
class BarlowTwins(Objective):
    """Cross-correlation over the images of all processes.

    Zbontar et al., arXiv 2103.03230, equation 1 and section 2.2.

    Args:
        in_channels: channels of the backbone's stage maps; the head sees the last.
        head: config of a projection head (HEADS registry).
        off_diagonal_weight: λ; the paper's is 0.0051.
    """

    online_views = (0, 1)

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        off_diagonal_weight: float = 0.0051,
    ) -> None:
        super().__init__()
        self.off_diagonal_weight = off_diagonal_weight
        self.head: nn.Module = HEADS.build(dict(head, in_channels=in_channels[-1]))

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss; see ``dense_cl.losses.barlow_twins``."""
        projections = [self.head(features.online[v].pooled) for v in (0, 1)]
        sizes = gather_sizes(len(projections[0]), projections[0].device)
        first_MD, second_MD = (gather_with_gradient(z, sizes) for z in projections)
        terms = barlow_twins(first_MD, second_MD, self.off_diagonal_weight)
        return ObjectiveOutput(
            terms.loss, {"on_diagonal": terms.on_diagonal, "off_diagonal": terms.off_diagonal}
        )
