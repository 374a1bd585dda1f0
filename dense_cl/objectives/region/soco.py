"""SoCo: predict the EMA features of the same boxes in other views, through a detector's modules."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from dense_cl.errors import DenseCLError, check_positive, check_share
from dense_cl.losses.object_distance import object_distance
from dense_cl.models.box_features import BoxHead, PyramidPooling
from dense_cl.models.distributed import rescale_mean
from dense_cl.models.features import FeatureBundle, ObjectiveOutput
from dense_cl.models.heads import Predictor
from dense_cl.models.pyramid import FeaturePyramid
from dense_cl.models.target import TargetNetwork
from dense_cl.objectives.base import Objective
from dense_cl.objectives.region.box_sampling import (
    jitter_boxes,
    sample_boxes,
    take_boxes,
)
from dense_cl.objectives.region.cells import image_draws
from dense_cl.regions.regions import RegionBatch
from dense_cl.registry import HEADS, OBJECTIVES

_ROUNDING = 1e-3  # of the visible share of a box, in float32


class BoxEncoder(nn.Module):
    """Pyramid, pooling, box head and projection: from stage maps and boxes to a vector a box."""

    def __init__(
        self, neck: FeaturePyramid, pooling: PyramidPooling, box_head: BoxHead, projector: nn.Module
    ) -> None:
        super().__init__()
        self.neck, self.pooling = neck, pooling
        self.box_head, self.projector = box_head, projector

    def forward(
        self, stages: Sequence[Tensor], boxes_BK4: Tensor, view_size: tuple[int, int]
    ) -> Tensor:
        """Return raw projections, (B * K, D)."""
        pooled_NCSS = self.pooling(self.neck(stages), boxes_BK4, view_size)
        return self.projector(self.box_head(pooled_NCSS))


@OBJECTIVES.register_module()
class SoCo(Objective):
    """Object-level BYOL on selective-search boxes, through a pyramid and a box head.

    Wei et al., arXiv 2106.02637, section 3; hologerry/SoCo ``contrast/models/SoCo_FPN.py``. The
    first view is compared with each of the others, in both directions. The K boxes of a step are
    drawn from those that all views show; the first view's are jittered. Pyramid, box head and
    projection have an EMA copy, and pyramid and box head start a detector (``detector_parts``).

    Views may be flipped each on its own, as published. Unlike in the authors' code a box is pooled
    at its own level only, not at all four (their other three enter nothing but the statistics of
    batch norm), the K boxes are the same for all views, and one that a view cuts off is not used,
    unless ``min_visible`` says so. Where there are fewer than K, they are repeated but count once.

    Args:
        in_channels: channels of the backbone's stage maps; the pyramid stands on all of them.
        head: config of the projection (HEADS registry), on vectors of ``fc_channels``.
        predictor: options of ``dense_cl.models.heads.Predictor``.
        num_views: 2; or 3, with the small view.
        num_boxes: K.
        min_visible: share of a box that every view must show.
        jitter: largest change of each side of a box, as a part of it.
        jitter_probability: that a box is changed.
        level_sizes: see ``PyramidPooling``; one less than the backbone has maps.
        channels: of the pyramid and of the box head's convolutions.
        side: cells on a side of a pooled box.
        num_convs: 3x3 convolutions of the box head.
        num_fcs: linear layers of the box head.
        fc_channels: their width.
        norm: 'BN', 'SyncBN' or 'GN' behind all convolutions; None for none.

    Raises:
        DenseCLError: numbers that fit neither each other nor the backbone.
    """

    name = "soco"
    regions = "boxes"
    detector_parts = {"encoder.neck": "neck", "encoder.box_head": "roi_head.bbox_head"}

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        predictor: Mapping[str, Any] | None = None,
        num_views: int = 3,
        num_boxes: int = 4,
        min_visible: float = 1.0,
        jitter: float = 0.1,
        jitter_probability: float = 0.5,
        level_sizes: Sequence[float] = (48, 96, 192),
        channels: int = 256,
        side: int = 7,
        num_convs: int = 4,
        num_fcs: int = 1,
        fc_channels: int = 1024,
        norm: str | None = "SyncBN",
    ) -> None:
        super().__init__()
        if num_views < 2 or num_boxes < 1 or not (0 <= jitter < 1 and 0 < min_visible <= 1):
            raise DenseCLError(
                f"SoCo: num_views={num_views}, num_boxes={num_boxes}, jitter={jitter},"
                f" min_visible={min_visible}; it compares two views or more of one box or more,"
                " jitter lies in [0, 1) and min_visible in (0, 1]."
            )
        check_share("SoCo", jitter_probability=jitter_probability)
        check_positive("SoCo", side=side)
        if len(level_sizes) != len(in_channels) - 1:
            raise DenseCLError(
                f"SoCo: level_sizes {tuple(level_sizes)} are limits between {len(level_sizes) + 1}"
                f" levels, the backbone has {len(in_channels)} maps; change its out_indices."
            )
        self.online_views = self.target_views = tuple(range(num_views))
        self.num_stages = len(in_channels)
        self.num_boxes = num_boxes
        self.min_visible = min_visible
        self.jitter, self.jitter_probability = jitter, jitter_probability
        self.seed = 0
        projector = HEADS.build(dict(head, in_channels=fc_channels))
        self.encoder = BoxEncoder(
            FeaturePyramid(in_channels, channels, norm),
            PyramidPooling(level_sizes, side),
            BoxHead(channels, side, num_convs, num_fcs, fc_channels, norm),
            projector,
        )
        self.target_encoder = TargetNetwork(self.encoder)
        self.predictor = Predictor(projector.out_channels, **(predictor or {}))

    def prepare(self, num_images: int | None, seed: int) -> None:
        """Take the seed of the run: it chooses the boxes."""
        self.seed = seed

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the sum over the pairs of views and both directions; see ``object_distance``."""
        boxes, counted_BK, found = self._choose(features)
        shape = (*counted_BK.shape, -1)
        prediction, target = [], []
        for v, boxes_BK4 in zip(self.online_views, boxes, strict=True):
            online, ema = features.online[v], features.target[v]
            size = online.view.view_size
            projection = self.encoder(online.stages[-self.num_stages :], boxes_BK4, size)
            prediction.append(self.predictor(projection).view(shape))
            projection = self.target_encoder(ema.stages[-self.num_stages :], boxes_BK4, size)
            target.append(projection.view(shape))
        pairs = [pair for v in self.online_views[1:] for pair in ((0, v), (v, 0))]
        distances = [object_distance(prediction[a], target[b], counted_BK) for a, b in pairs]
        distance = torch.stack(distances).sum()
        images = counted_BK.any(dim=1).sum().to(distance.dtype)
        diagnostics = {
            "positive_similarity": images.clamp(max=1) - distance.detach() / (2 * len(pairs)),
            "boxes": found.float().mean(),
            "without_boxes": (found == 0).float().mean(),
        }
        return ObjectiveOutput(rescale_mean(distance, images), diagnostics)

    @torch.no_grad()
    def _choose(self, features: FeatureBundle) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return the boxes of each view, (B, K, 4), which to count, (B, K), how many there were."""
        views = [features.online[v].view for v in self.online_views]
        regions = [cast(RegionBatch, view.regions) for view in views]  # the Learner has checked
        shown_BN = torch.stack([cast(Tensor, r.visible) for r in regions]).amin(dim=0)
        # Rows that only fill up the batch show nothing.
        candidate_BN = (shown_BN >= self.min_visible - _ROUNDING) & (shown_BN > 0)
        batch, number = candidate_BN.shape
        for_jitter = 5 * self.num_boxes
        seed = (self.seed, features.step)
        noise_BR = image_draws(batch, (for_jitter + number,), seed, shown_BN)
        chosen_BK, counted_BK = sample_boxes(candidate_BN, noise_BR[:, for_jitter:], self.num_boxes)
        taken = [
            take_boxes(cast(Tensor, r.boxes), chosen_BK, view.view_size)
            for r, view in zip(regions, views, strict=True)
        ]
        noise_BK5 = noise_BR[:, :for_jitter].unflatten(1, (self.num_boxes, 5))
        taken[0] = jitter_boxes(
            taken[0], noise_BK5, self.jitter, self.jitter_probability, views[0].view_size
        )
        return taken, counted_BK, candidate_BN.sum(dim=1)
