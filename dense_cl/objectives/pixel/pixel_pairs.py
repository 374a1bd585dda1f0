"""What PixContrast and PixPro have in common: locations of two views, compared both ways."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from dense_cl.losses.info_nce import unit
from dense_cl.models.features import FeatureBundle, ObjectiveOutput, ViewFeatures
from dense_cl.models.target import TargetNetwork
from dense_cl.objectives.base import Objective, check_stage
from dense_cl.registry import CORRESPONDENCES, HEADS


class PixelPairs(Objective):
    """Compares predictions of each view's locations with EMA projections of the other view's.

    Args:
        in_channels: channels of the backbone's stage maps.
        head: config of a dense projection head (HEADS registry).
        correspondence: config of a provider (CORRESPONDENCES registry); by default
            ``DistanceThreshold``, 0.7.
        stage: which stage map the head sees, and a provider by features, counted from the end: -1
            for the last.

    Raises:
        DenseCLError: a stage that the backbone does not have.
    """

    online_views = (0, 1)
    target_views = (0, 1)

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        correspondence: Mapping[str, Any] | None = None,
        stage: int = -1,
    ) -> None:
        super().__init__()
        check_stage(type(self).__name__, stage, in_channels)
        self.stage, self.num_stages = stage, -stage
        self.head: nn.Module = HEADS.build(dict(head, in_channels=in_channels[stage]))
        self.target_head = TargetNetwork(self.head)
        provider = dict(correspondence or {"type": "DistanceThreshold"})
        self.correspondence = CORRESPONDENCES.build(provider)
        self.regions = self.correspondence.regions

    def predict(self, projection_BDHW: Tensor) -> Tensor:
        """Return what is compared with the other view's targets, (B, D, h * w)."""
        return projection_BDHW.flatten(2)

    def compare(self, query_BDS: Tensor, key_BDT: Tensor, weights_BST: Tensor) -> Tensor:
        """Return the loss of one direction, given unit vectors and weights of their type."""
        raise NotImplementedError

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the sum of both directions."""
        both = [
            self._direction(self.matched(features.online[a]), self.matched(features.target[1 - a]))
            for a in (0, 1)
        ]
        loss, similarity, matched = torch.stack(both).unbind(dim=1)
        diagnostics = {"positive_similarity": similarity, "matched": matched}
        return ObjectiveOutput(
            loss.sum(), {name: term.detach().mean() for name, term in diagnostics.items()}
        )

    def matched(self, features: ViewFeatures) -> ViewFeatures:
        """Leave out deeper stages: what the head sees is also what features are matched on."""
        return replace(features, stages=features.stages[: len(features.stages) + self.stage + 1])

    def _direction(self, online: ViewFeatures, target: ViewFeatures) -> Tensor:
        """Return loss, mean cosine of the pairs, and share of locations that have a partner."""
        projection_BDHW = self.head(online.last)
        target_BDHW = self.target_head(target.last)
        match = self.correspondence(
            online, target, projection_BDHW.shape[2:], target_BDHW.shape[2:]
        )
        query_BDS = unit(self.predict(projection_BDHW))
        key_BDT = unit(target_BDHW.flatten(2))
        weights_BST = match.matrix(key_BDT.shape[2]).to(query_BDS.dtype)
        with torch.no_grad():
            cosine = (query_BDS.mT @ key_BDT * weights_BST).sum() / weights_BST.sum().clamp_min(1)
            matched = weights_BST.any(dim=2).to(cosine.dtype).mean()
        return torch.stack([self.compare(query_BDS, key_BDT, weights_BST), cosine, matched])
