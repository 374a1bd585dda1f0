"""MoCo v3: tell the EMA key of an image from the keys of the batch."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dense_cl.errors import check_positive
from dense_cl.losses.in_batch_contrast import in_batch_info_nce
from dense_cl.models.distributed import concat_all_gather, gather_sizes, rank
from dense_cl.models.features import FeatureBundle, ObjectiveOutput, ViewFeatures
from dense_cl.models.heads import Predictor
from dense_cl.models.target import TargetNetwork
from dense_cl.objectives.pairs import PairObjective
from dense_cl.registry import HEADS, OBJECTIVES


@OBJECTIVES.register_module()
class MoCoV3(PairObjective):
    """The symmetric contrast of predictions with EMA keys of the batch.

    Chen et al., arXiv 2104.02057; facebookresearch/moco-v3 ``moco/builder.py``.

    Args:
        in_channels: channels of the backbone's stage maps; the head sees the last.
        head: config of a projection head (HEADS registry).
        predictor: options of ``dense_cl.models.heads.Predictor``.
        temperature: T > 0; the paper's is 1.0 for ResNet-50 and 0.2 for ViT.
    """

    name = "moco_v3"
    online_views = (0, 1)
    target_views = (0, 1)

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        predictor: Mapping[str, Any] | None = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        check_positive(type(self).__name__, temperature=temperature)
        self.temperature = temperature
        self.head = HEADS.build(dict(head, in_channels=in_channels[-1]))
        self.target_head = TargetNetwork(self.head)
        self.predictor = Predictor(self.head.out_channels, **(predictor or {}))

    def query(self, view: ViewFeatures) -> Tensor:
        """Return the predictions."""
        return self.predictor(self.head(view.pooled))

    def key(self, view: ViewFeatures) -> Tensor:
        """Return the EMA projections."""
        return self.target_head(view.pooled)

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the sum over both directions; see ``in_batch_info_nce``."""
        query = [self.query(features.online[v]) for v in (0, 1)]
        key = [self.key(features.target[v]) for v in (0, 1)]
        sizes = gather_sizes(len(query[0]), query[0].device)
        offset = sum(sizes[: rank()])
        terms = [
            in_batch_info_nce(
                query[v], concat_all_gather(key[1 - v], sizes), self.temperature, offset
            )
            for v in (0, 1)
        ]
        similarity, accuracy = (
            (a + b) / 2 for a, b in zip(terms[0][1:], terms[1][1:], strict=True)
        )
        return ObjectiveOutput(
            terms[0].loss + terms[1].loss,
            {"positive_similarity": similarity, "accuracy": accuracy},
        )
