"""BYOL: predict the EMA projection of the other view, without negatives."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dense_cl.losses.negative_cosine import negative_cosine
from dense_cl.models.features import FeatureBundle, ObjectiveOutput, ViewFeatures
from dense_cl.models.heads import Predictor
from dense_cl.models.target import TargetNetwork
from dense_cl.objectives.pairs import PairObjective
from dense_cl.registry import HEADS, OBJECTIVES


@OBJECTIVES.register_module()
class BYOL(PairObjective):
    """Squared distance of unit predictions and unit EMA projections, both directions.

    Grill et al., arXiv 2006.07733, equations 2 and 3; the sum of both directions lies in [0, 8].
    What keeps it from collapsing is the predictor and the slow target:
    ``predictor=dict(num_layers=0)`` or ``target=dict(ema_decay=0.0)`` shows the failure.

    Args:
        in_channels: channels of the backbone's stage maps; the head sees the last.
        head: config of a projection head (HEADS registry).
        predictor: options of ``dense_cl.models.heads.Predictor``.
    """

    name = "byol"
    online_views: tuple[int, ...] = (0, 1)
    target_views: tuple[int, ...] = (0, 1)

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        predictor: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
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
        """Return the loss; see ``dense_cl.losses.negative_cosine``."""
        return self.compare(features, (0, 1), self.predictor)

    def compare(
        self, features: FeatureBundle, views: tuple[int, int], predictor: Predictor
    ) -> ObjectiveOutput:
        """Let each of two views predict the other."""
        prediction = [predictor(self.head(features.online[v].pooled)) for v in views]
        projection = [self.target_head(features.target[v].pooled) for v in views]
        forth = negative_cosine(prediction[0], projection[1])
        cosine = forth + negative_cosine(prediction[1], projection[0])
        return ObjectiveOutput(4 + 2 * cosine, {"positive_similarity": -cosine.detach() / 2})
