"""SimCLR: tell the other view of an image from all views of the batch."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from dense_cl.errors import check_positive
from dense_cl.losses.in_batch_contrast import nt_xent
from dense_cl.models.distributed import gather_sizes, gather_with_gradient, rank
from dense_cl.models.features import FeatureBundle, ObjectiveOutput, ViewFeatures
from dense_cl.objectives.pairs import PairObjective
from dense_cl.registry import HEADS, OBJECTIVES


@OBJECTIVES.register_module()
class SimCLR(PairObjective):
    """NT-Xent over the two views of all images of all processes.

    Chen et al., arXiv 2002.05709. Negatives of other processes receive their gradient. Each view
    has BatchNorm statistics of its own.

    Args:
        in_channels: channels of the backbone's stage maps; the head sees the last.
        head: config of a projection head (HEADS registry).
        temperature: T > 0.
    """

    name = "simclr"
    online_views = (0, 1)

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        check_positive(type(self).__name__, temperature=temperature)
        self.temperature = temperature
        self.head: nn.Module = HEADS.build(dict(head, in_channels=in_channels[-1]))

    def query(self, view: ViewFeatures) -> Tensor:
        """Return the projections."""
        return self.head(view.pooled)

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss; see ``dense_cl.losses.in_batch_contrast.nt_xent``."""
        first_ND, second_ND = (self.query(features.online[v]) for v in (0, 1))
        sizes = gather_sizes(len(first_ND), first_ND.device)
        terms = nt_xent(
            first_ND,
            second_ND,
            self.temperature,
            gather_with_gradient(first_ND, sizes),
            gather_with_gradient(second_ND, sizes),
            offset=sum(sizes[: rank()]),
        )
        return ObjectiveOutput(
            terms.loss,
            {"positive_similarity": terms.positive_similarity, "accuracy": terms.accuracy},
        )
