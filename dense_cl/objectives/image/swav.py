"""SwAV: predict from one view to which prototypes another view was assigned."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense_cl.losses.sinkhorn import sinkhorn
from dense_cl.losses.swapped_prediction import swapped_prediction
from dense_cl.models.distributed import concat_all_gather, gather_sizes, rank
from dense_cl.models.features import FeatureBundle, ObjectiveOutput
from dense_cl.models.memory_bank import MemoryBank
from dense_cl.objectives.clustering import ClusterObjective, similarities
from dense_cl.registry import OBJECTIVES


@OBJECTIVES.register_module()
class SwAV(ClusterObjective):
    """Swapped prediction of assignments that share the batch out evenly.

    Caron et al., arXiv 2006.09882; facebookresearch/swav ``main_swav.py``. Assignments are over
    the images of all processes and, once it is full, over a queue of older embeddings.
    Differences from that code: the queue is one for all processes and of any size, and its
    start is counted in optimiser steps. Frozen prototypes get a gradient of zero instead of none
    (DistributedDataParallel wants one); decay and momentum can then change nothing but their
    length, which is set back to 1.

    Args:
        in_channels, head, temperature, num_views, num_assign_views: see ``ClusterObjective``.
        num_prototypes: K.
        epsilon: ε of ``dense_cl.losses.sinkhorn``; 0.03 is the authors' advice if the loss
            stays at ln K.
        sinkhorn_iterations: of the same.
        freeze_steps: optimiser steps before the prototypes learn; the authors' scripts have 313
            with 4,096 images and 5,005 with 256, an epoch of ImageNet.
        queue_size: embeddings that take part in the assignment beside the batch; 0 for none. The
            authors' scripts have 3,840 with batches of 256, from epoch 15 on.
        queue_start: optimiser steps before the queue begins to fill.
    """

    name = "swav"

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        num_prototypes: int = 3000,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        sinkhorn_iterations: int = 3,
        num_views: int = 8,
        num_assign_views: int = 2,
        freeze_steps: int = 313,
        queue_size: int = 0,
        queue_start: int = 0,
    ) -> None:
        super().__init__(in_channels, head, temperature, num_views, num_assign_views)
        self.epsilon, self.sinkhorn_iterations = epsilon, sinkhorn_iterations
        self.freeze_steps, self.queue_start = freeze_steps, queue_start
        channels = self.head.out_channels
        self.prototypes = nn.Linear(channels, num_prototypes, bias=False)
        self._normalise_prototypes()
        self.queues = nn.ModuleList(
            MemoryBank(queue_size, channels) for _ in range(num_assign_views if queue_size else 0)
        )
        self._new_keys: Tensor | None = None

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss; see ``dense_cl.losses.swapped_prediction``."""
        embedding_VBD = self.embed(features, self.online_views)
        prototypes_KD = self.prototypes.weight
        if features.step < self.freeze_steps:
            prototypes_KD = prototypes_KD.detach() + 0 * prototypes_KD
        scores_VBK = similarities(embedding_VBD, prototypes_KD)
        assigning_ABD = embedding_VBD[: self.num_assign_views].detach()
        assignments_ABK = self._assign(assigning_ABD)
        if self.queues and features.step >= self.queue_start:
            self._new_keys = assigning_ABD
        loss = swapped_prediction(scores_VBK, assignments_ABK, self.temperature)
        return ObjectiveOutput(loss, self._diagnose(assignments_ABK))

    @torch.no_grad()
    def _assign(self, embedding_ABD: Tensor) -> Tensor:
        images = embedding_ABD.shape[1]
        sizes = gather_sizes(images, embedding_ABD.device)
        everyone = concat_all_gather(embedding_ABD.transpose(0, 1), sizes).transpose(0, 1)
        mine = slice(sum(sizes[: rank()]), sum(sizes[: rank()]) + images)
        assignments = []
        for view, embedding_ND in enumerate(everyone):
            # The queue goes last, so that the batch keeps its rows.
            rows = [embedding_ND, self.queues[view].keys] if self._queue_is_full else [embedding_ND]
            scores_NK = similarities(torch.cat(rows), self.prototypes.weight)
            assignments.append(sinkhorn(scores_NK, self.epsilon, self.sinkhorn_iterations)[mine])
        return torch.stack(assignments)

    @property
    def _queue_is_full(self) -> bool:
        return bool(self.queues) and bool(self.queues[0].filled_fraction == 1)

    def _diagnose(self, assignments_ABK: Tensor) -> dict[str, Tensor]:
        confidence_AB, chosen_AB = assignments_ABK.max(dim=2)
        agree_B = (chosen_AB == chosen_AB[0]).all(dim=0)
        diagnostics = {
            "agreement": agree_B.to(confidence_AB.dtype).mean(),
            "confidence": confidence_AB.mean(),
        }
        if self.queues:
            diagnostics["queue_filled"] = self.queues[0].filled_fraction
        return diagnostics

    def after_step(self) -> None:
        """Set the prototypes' length back to 1 and enqueue the embeddings of the last pass."""
        self._normalise_prototypes()
        if self._new_keys is not None:
            for queue, keys_BD in zip(self.queues, self._new_keys, strict=True):
                assert isinstance(queue, MemoryBank)
                queue.enqueue(keys_BD)
            self._new_keys = None

    @torch.no_grad()
    def _normalise_prototypes(self) -> None:
        self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))
