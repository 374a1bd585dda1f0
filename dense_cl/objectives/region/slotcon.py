"""SlotCon: learn groups of places and, with them, slots that two views share."""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense_cl.errors import DenseCLError, check_positive, check_share
from dense_cl.losses.assignment_prediction import assignment_prediction, centred_assignment
from dense_cl.losses.slots import active_slots, group_into_slots, slot_contrast
from dense_cl.models.distributed import (
    concat_all_gather,
    gather_sizes,
    rank,
    rescale_mean,
)
from dense_cl.models.features import FeatureBundle, ObjectiveOutput, ViewFeatures
from dense_cl.models.heads import Predictor
from dense_cl.models.overlap import OverlapGrid
from dense_cl.models.target import TargetNetwork
from dense_cl.objectives.base import Objective, check_stage
from dense_cl.objectives.region.cells import on_cells, rows_of
from dense_cl.registry import HEADS, OBJECTIVES


class Grouping(NamedTuple):
    """One view by one network: slots (B, K, D) and scores (B, K, H, W)."""

    slots: Tensor
    scores: Tensor


@OBJECTIVES.register_module()
class SlotCon(Objective):
    """Semantic grouping by distillation over the overlap, and contrast of the groups' slots.

    Wen et al., arXiv 2205.15288; CVMI-Lab/SlotCon ``models/slotcon.py``. The student's and the
    teacher's prototypes group the cells of both views. Over the overlap the student predicts the
    teacher's centred grouping of the other view; pairs without one contribute nothing to that.
    Slots that win a cell in both views are told from the teacher's slots of all images of all
    processes. Means are over the cells and slots of all processes. As in that code the grouping of
    both networks has the teacher's temperature, the centre is the mean over all cells of both
    views and follows after the loss, and the contrast has T = 0.2 and a factor 2 T.

    Args:
        in_channels: channels of the backbone's stage maps.
        head: config of a projection head of vectors (HEADS registry), applied to every cell.
        predictor: options of ``dense_cl.models.heads.Predictor``, for slots.
        num_prototypes: K; the authors' scripts have 256 for COCO and 2,048 for ImageNet.
        student_temperature: of the student's grouping in the distillation.
        teacher_temperature: of the teacher's, and of the attention that pools slots.
        contrast_temperature: T of the contrast.
        center_momentum: how much of the old centre stays after a step.
        grouping_weight: λ of λ · distillation + (1 - λ) · contrast; both are sums over the two
            directions.
        stage: which stage map to group, -1 for the last. The stages behind it then learn from
            other objectives only.

    Raises:
        DenseCLError: fewer than two prototypes.

    Attributes:
        center: (K,) running mean of the teacher's scores.
    """

    name = "slotcon"
    online_views = (0, 1)
    target_views = (0, 1)
    center: Tensor

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        predictor: Mapping[str, Any] | None = None,
        num_prototypes: int = 256,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.07,
        contrast_temperature: float = 0.2,
        center_momentum: float = 0.9,
        grouping_weight: float = 0.5,
        stage: int = -1,
    ) -> None:
        super().__init__()
        if num_prototypes < 2:
            raise DenseCLError(
                f"SlotCon: num_prototypes={num_prototypes}; at least two to choose between."
            )
        check_positive(
            "SlotCon",
            student_temperature=student_temperature,
            teacher_temperature=teacher_temperature,
            contrast_temperature=contrast_temperature,
        )
        check_share("SlotCon", center_momentum=center_momentum, grouping_weight=grouping_weight)
        self.num_stages = check_stage("SlotCon", stage, in_channels)
        self.stage = stage
        self.student_temperature = student_temperature
        self.teacher_temperature = teacher_temperature
        self.contrast_temperature = contrast_temperature
        self.center_momentum, self.grouping_weight = center_momentum, grouping_weight
        self.cell_head = HEADS.build(dict(head, in_channels=in_channels[stage]))
        channels = self.cell_head.out_channels
        self.prototypes = nn.Embedding(num_prototypes, channels)
        self.predictor = Predictor(channels, **(predictor or {}))
        self.target_head = TargetNetwork(self.cell_head)
        self.target_prototypes = TargetNetwork(self.prototypes)
        self.register_buffer("center", torch.zeros(num_prototypes))
        self._teacher_scores: tuple[Tensor, ...] = ()

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss; see ``dense_cl.losses.slots`` and ``assignment_prediction``."""
        student = [
            self._group(features.online[v], self.cell_head, self.prototypes.weight) for v in (0, 1)
        ]
        with torch.no_grad():
            prototypes = cast(nn.Embedding, self.target_prototypes.network).weight
            teacher = [
                self._group(features.target[v], self.target_head, prototypes) for v in (0, 1)
            ]
        self._teacher_scores = tuple(grouping.scores for grouping in teacher)
        views = [features.online[v].view for v in (0, 1)]
        height, width = student[0].scores.shape[2:]
        grid = OverlapGrid(views[0], views[1], (height, width))
        aligned = [
            [rows_of(grid.sample(side[v].scores, views[v])) for v in (0, 1)]
            for side in (student, teacher)
        ]
        valid_N = grid.valid_BS.flatten()
        assignments = [
            centred_assignment(t, self.center, self.teacher_temperature) for t in aligned[1]
        ]
        first, second = (
            assignment_prediction(
                aligned[0][v], assignments[1 - v], self.student_temperature, valid_N
            )
            for v in (0, 1)
        )
        contrast = sum(self._contrast(student[v], teacher[1 - v]) for v in (0, 1))
        loss = self.grouping_weight * rescale_mean(first + second, valid_N.sum())
        loss = loss + (1 - self.grouping_weight) * contrast
        with torch.no_grad():
            agree = (aligned[0][0].argmax(dim=1) == assignments[1].argmax(dim=1)) & valid_N
            active = active_slots(teacher[0].scores).sum(dim=1)
        return ObjectiveOutput(
            loss,
            {
                "agreement": agree.sum() / valid_N.sum().clamp(min=1),
                "active_slots": active.to(self.center.dtype).mean(),
                "overlap": valid_N.to(self.center.dtype).mean(),
            },
        )

    def _group(self, features: ViewFeatures, head: nn.Module, prototypes: Tensor) -> Grouping:
        map_BDHW = on_cells(head, features.stages[self.stage])
        # Scores are divided by 0.07: bfloat16's three digits would change who wins.
        with torch.autocast(map_BDHW.device.type, enabled=False):
            return Grouping(*group_into_slots(map_BDHW, prototypes, self.teacher_temperature))

    def _contrast(self, student: Grouping, teacher: Grouping) -> Tensor:
        """Contrast the slots that are active in both, scaled for processes with different many."""
        keys_BK = active_slots(teacher.scores)
        queries_BK = active_slots(student.scores) & keys_BK
        chosen_Q = queries_BK.flatten().nonzero().squeeze(1)
        count = queries_BK.sum()
        # Batch statistics need two vectors: where there are fewer, others that do not count.
        chosen_Q = F.pad(chosen_Q, (0, max(2 - len(chosen_Q), 0)))
        counted_Q = torch.arange(len(chosen_Q), device=count.device) < count
        prediction_QD = self.predictor(student.slots.flatten(0, 1)[chosen_Q])
        keys_MD = teacher.slots[keys_BK]
        sizes = gather_sizes(len(keys_MD), keys_MD.device)
        place = keys_BK.flatten().cumsum(dim=0).clamp(min=1) - 1 + sum(sizes[: rank()])
        loss = slot_contrast(
            prediction_QD,
            concat_all_gather(keys_MD, sizes),
            place[chosen_Q],
            self.contrast_temperature,
            counted_Q,
        )
        return rescale_mean(loss, count)

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the centre towards the mean score of the last pass, over all processes."""
        if not self._teacher_scores:
            return
        rows = torch.cat([rows_of(scores) for scores in self._teacher_scores])
        sums = torch.cat([rows.sum(dim=0), rows.new_tensor([len(rows)])])
        total = concat_all_gather(sums[None]).sum(dim=0)
        mean_K = (total[:-1] / total[-1]).to(self.center.dtype)
        self.center.lerp_(mean_K, 1 - self.center_momentum)
        self._teacher_scores = ()
