"""SimSiam: predict the projection of the other view, whose gradient is stopped."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from dense_cl.losses.negative_cosine import negative_cosine
from dense_cl.models.features import FeatureBundle, ObjectiveOutput, ViewFeatures
from dense_cl.models.heads import Predictor
from dense_cl.objectives.pairs import PairObjective
from dense_cl.registry import HEADS, OBJECTIVES


@OBJECTIVES.register_module()
class SimSiam(PairObjective):
    """Negative cosine of predictions and projections, mean of both directions; no target network.

    Chen and He, arXiv 2011.10566, equations 1 to 4; it lies in [-1, 1], and near -1 means either
    learnt or collapsed: ``feature_std`` tells which.

    Args:
        in_channels: channels of the backbone's stage maps; the head sees the last.
        head: config of a projection head (HEADS registry).
        predictor: options of ``dense_cl.models.heads.Predictor``.
        stop_gradient: False shows how the method collapses without (figure 2).
    """

    name = "simsiam"
    online_views = (0, 1)

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        predictor: Mapping[str, Any] | None = None,
        stop_gradient: bool = True,
    ) -> None:
        super().__init__()
        self.stop_gradient = stop_gradient
        self.head = HEADS.build(dict(head, in_channels=in_channels[-1]))
        self.predictor = Predictor(self.head.out_channels, **(predictor or {}))

    def query(self, view: ViewFeatures) -> Tensor:
        """Return the predictions."""
        return self.predictor(self.head(view.pooled))

    def key(self, view: ViewFeatures) -> Tensor:
        """Return the projections."""
        return self.head(view.pooled)

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss; see ``dense_cl.losses.negative_cosine``."""
        projection = [self.head(features.online[v].pooled) for v in (0, 1)]
        prediction = [self.predictor(z) for z in projection]
        if self.stop_gradient:
            projection = [z.detach() for z in projection]
        forth = negative_cosine(prediction[0], projection[1])
        cosine = (forth + negative_cosine(prediction[1], projection[0])) / 2
        return ObjectiveOutput(cosine, {"positive_similarity": -cosine.detach()})
