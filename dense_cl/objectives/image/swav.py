"""SwAV: predict from one view to which prototypes another view was assigned."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.losses.sinkhorn import sinkhorn
from dense_cl.losses.swapped_prediction import swapped_prediction
from dense_cl.models.distributed import concat_all_gather, gather_sizes, rank
from dense_cl.models.features import FeatureBundle, ObjectiveOutput
from dense_cl.models.memory_bank import MemoryBank
from dense_cl.objectives.clustering import ClusterObjective, Prototypes, similarities
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

    Raises:
        DenseCLError: no positive epsilon, or fewer than two prototypes.
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
        if epsilon <= 0 or num_prototypes < 2:
            raise DenseCLError(
                f"SwAV: epsilon={epsilon} must be above 0 and num_prototypes={num_prototypes} at"
                " least 2."
            )
        self.epsilon, self.sinkhorn_iterations = epsilon, sinkhorn_iterations
        self.freeze_steps, self.queue_start = freeze_steps, queue_start
        channels = self.head.out_channels
        self.prototypes = Prototypes(channels, num_prototypes)
        # A row holds the embeddings of all assigning views of an image.
        row = num_assign_views * channels
        self.queue = MemoryBank(queue_size, row) if queue_size else None
        self._new_keys: Tensor | None = None

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss; see ``dense_cl.losses.swapped_prediction``."""
        embedding_VBD = self.embed(features, self.online_views)
        prototypes_KD = self.prototypes.weight
        if features.step < self.freeze_steps:
            prototypes_KD = prototypes_KD.detach() + 0 * prototypes_KD
        scores_VBK = similarities(embedding_VBD, prototypes_KD)
        assigning_BAD = embedding_VBD[: self.num_assign_views].detach().transpose(0, 1)
        assignments_ABK = self._assign(assigning_BAD)
        if self.queue is not None and features.step >= self.queue_start:
            self._new_keys = assigning_BAD.flatten(1)
        loss = swapped_prediction(scores_VBK, assignments_ABK, self.temperature)
        return ObjectiveOutput(loss, self._diagnose(assignments_ABK))

    @torch.no_grad()
    def _assign(self, embedding_BAD: Tensor) -> Tensor:
        sizes = gather_sizes(len(embedding_BAD), embedding_BAD.device)
        offset = sum(sizes[: rank()])
        rows_NAD = concat_all_gather(embedding_BAD, sizes)
        if self.queue is not None and self.queue.filled_fraction == 1:
            older_QAD = self.queue.keys.unflatten(1, embedding_BAD.shape[1:])
            rows_NAD = torch.cat([rows_NAD, older_QAD])
        scores_ANK = similarities(rows_NAD.transpose(0, 1), self.prototypes.weight)
        everyone_ANK = torch.stack(
            [sinkhorn(s, self.epsilon, self.sinkhorn_iterations) for s in scores_ANK]
        )
        return everyone_ANK[:, offset : offset + len(embedding_BAD)]

    def _diagnose(self, assignments_ABK: Tensor) -> dict[str, Tensor]:
        confidence_AB, chosen_AB = assignments_ABK.max(dim=2)
        agree_B = (chosen_AB == chosen_AB[0]).all(dim=0)
        diagnostics = {
            "agreement": agree_B.to(confidence_AB.dtype).mean(),
            "confidence": confidence_AB.mean(),
        }
        if self.queue is not None:
            diagnostics["queue_filled"] = self.queue.filled_fraction
        return diagnostics

    def after_step(self) -> None:
        """Set the prototypes' length back to 1 and enqueue the embeddings of the last pass."""
        self.prototypes.normalise()
        if self.queue is not None and self._new_keys is not None:
            self.queue.enqueue(self._new_keys)
            self._new_keys = None
