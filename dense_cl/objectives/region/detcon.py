"""DetCon: contrast the regions of a label map, pooled from the feature maps of two views."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dense_cl.errors import check_positive
from dense_cl.losses.detcon import DetConTerms, detcon
from dense_cl.models.distributed import (
    concat_all_gather,
    gather_sizes,
    gather_with_gradient,
    rank,
)
from dense_cl.models.features import FeatureBundle, ObjectiveOutput, ViewFeatures
from dense_cl.models.heads import Predictor
from dense_cl.models.region_cells import drop_rate
from dense_cl.models.target import TargetNetwork
from dense_cl.objectives.base import Objective, check_stage
from dense_cl.objectives.region.cells import image_draws
from dense_cl.objectives.region.draw import cell_owners, sample_regions
from dense_cl.registry import HEADS, OBJECTIVES


class DetCon(Objective):
    """What both variants share: which regions, how they are pooled, and the contrast.

    Hénaff et al., arXiv 2103.10957; google-deepmind/detcon ``detcon_b.py``. As there a cell of
    the map belongs to the region that covers most of it, a region is the mean of its cells, and
    each view draws ``num_regions`` of those that own a cell, with replacement. The draw depends on
    the run's seed, the step and the image's place in the batch of all processes. Unlike there,
    pixels may belong to no region; an image that shows none contributes nothing (its pooled
    vectors are those of the whole map, for the statistics of the head alone).

    Args:
        in_channels: channels of the backbone's stage maps.
        head: config of a projection head (HEADS registry).
        temperature: τ > 0.
        num_regions: M, regions drawn per view.
        local_negatives: also tell a region from the others of its image.
        stage: which stage map to pool, -1 for the last. The stages behind it then learn from
            other objectives only.
    """

    online_views = (0, 1)
    regions = "label_map"

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        temperature: float = 0.1,
        num_regions: int = 16,
        local_negatives: bool = True,
        stage: int = -1,
    ) -> None:
        super().__init__()
        check_positive(type(self).__name__, temperature=temperature, num_regions=num_regions)
        self.num_stages = check_stage(type(self).__name__, stage, in_channels)
        self.stage, self.seed = stage, 0
        self.temperature, self.num_regions = temperature, num_regions
        self.local_negatives = local_negatives
        self.region_head = HEADS.build(dict(head, in_channels=in_channels[stage]))

    def prepare(self, num_images: int | None, seed: int) -> None:
        """Learn the seed of the draws."""
        self.seed = seed

    def draw(self, features: FeatureBundle) -> tuple[list[Tensor], Tensor]:
        """Return which region owns each cell of each view, (B, S), and the ids drawn, (2, B, M)."""
        views = [features.online[v] for v in (0, 1)]
        batch = len(views[0].last)
        draws_BVM = image_draws(
            batch, (2, self.num_regions), (self.seed, features.step), views[0].last
        )
        owners = [cell_owners(view, self.stage) for view in views]
        ids = [sample_regions(owners[v], draws_BVM[:, v]) for v in (0, 1)]
        return owners, torch.stack(ids)

    def pool(self, features: ViewFeatures, owner_BS: Tensor, ids_BM: Tensor) -> Tensor:
        """Return the mean over the cells of each region, (B * M, C)."""
        map_BSC = features.stages[self.stage].flatten(2).transpose(1, 2)
        mask_BMS = (owner_BS[:, None] == ids_BM[:, :, None]).to(map_BSC.dtype)
        share_BMS = mask_BMS / mask_BMS.sum(dim=2, keepdim=True)
        return (share_BMS @ map_BSC).flatten(0, 1)

    def contrast(
        self,
        prediction_VBMD: Tensor,
        target_VBMD: Tensor,
        ids_VBM: Tensor,
        owners: list[Tensor],
    ) -> ObjectiveOutput:
        """Contrast with the targets of all processes, which may get a gradient."""
        sizes = gather_sizes(ids_VBM.shape[1], ids_VBM.device)
        gather = gather_with_gradient if target_VBMD.requires_grad else concat_all_gather
        terms: DetConTerms = detcon(
            prediction_VBMD,
            gather(target_VBMD.transpose(0, 1), sizes).transpose(0, 1),
            ids_VBM,
            self.temperature,
            concat_all_gather(ids_VBM.transpose(0, 1), sizes).transpose(0, 1),
            sum(sizes[: rank()]),
            self.local_negatives,
        )
        lost = [drop_rate(owners[v][:, None], owners[1 - v][:, None]) for v in (0, 1)]
        diagnostics = {
            "positive_similarity": terms.positive_similarity,
            "matched": terms.matched,
            "drop_rate": (lost[0] + lost[1]) / 2,
            "without_regions": (torch.stack(owners) < 0).all(dim=2).float().mean(),
        }
        return ObjectiveOutput(terms.loss, diagnostics)


@OBJECTIVES.register_module()
class DetConS(DetCon):
    """DetCon on SimCLR: one network, a gradient through both sides and all processes.

    See ``DetCon``. The authors' code has only B; this is its loss with the predictions as targets,
    as the paper (section 3.1) describes it. Of its head the recipes normalise the hidden layer
    alone, as B's code does (``utils/networks.py``); SimCLR normalises the last one as well.
    """

    name = "detcon_s"

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss; see ``dense_cl.losses.detcon``."""
        owners, ids_VBM = self.draw(features)
        projection_VBMD = torch.stack(
            [self.region_head(self.pool(features.online[v], owners[v], ids_VBM[v])) for v in (0, 1)]
        ).unflatten(1, ids_VBM.shape[1:])
        return self.contrast(projection_VBMD, projection_VBMD, ids_VBM, owners)


@OBJECTIVES.register_module()
class DetConB(DetCon):
    """DetCon on BYOL: predictions of regions against the EMA projections of the other view.

    See ``DetCon``. Both networks pool the same draw of regions, as in the authors' code.

    Args:
        predictor: options of ``dense_cl.models.heads.Predictor``.
        **options: see ``DetCon``.
    """

    name = "detcon_b"
    target_views = (0, 1)

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        predictor: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(in_channels, head, **options)
        self.target_head = TargetNetwork(self.region_head)
        self.predictor = Predictor(self.region_head.out_channels, **(predictor or {}))

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss; see ``dense_cl.losses.detcon``."""
        owners, ids_VBM = self.draw(features)
        prediction, target = [], []
        for v in (0, 1):
            pooled = self.pool(features.online[v], owners[v], ids_VBM[v])
            prediction.append(self.predictor(self.region_head(pooled)))
            target.append(self.target_head(self.pool(features.target[v], owners[v], ids_VBM[v])))
        shape = ids_VBM.shape[1:]
        return self.contrast(
            torch.stack(prediction).unflatten(1, shape),
            torch.stack(target).unflatten(1, shape),
            ids_VBM,
            owners,
        )
