"""Leopart: predict, over the overlap, how the teacher clusters the places of another view."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from dense_cl.errors import DenseCLError, check_positive
from dense_cl.losses.assignment_prediction import assignment_prediction
from dense_cl.losses.info_nce import unit
from dense_cl.losses.sinkhorn import sinkhorn
from dense_cl.models.distributed import (
    concat_all_gather,
    gather_sizes,
    rank,
    rescale_mean,
)
from dense_cl.models.features import FeatureBundle, ObjectiveOutput, ViewFeatures
from dense_cl.models.overlap import OverlapGrid
from dense_cl.models.target import TargetNetwork
from dense_cl.objectives.base import Objective, check_stage
from dense_cl.objectives.clustering import Prototypes, similarities
from dense_cl.objectives.region.cell_queue import CellQueue, choose_cells
from dense_cl.objectives.region.cells import on_cells, rows_of
from dense_cl.registry import HEADS, OBJECTIVES


@OBJECTIVES.register_module()
class Leopart(Objective):
    """SwAV on the cells of a map: swapped prediction of assignments aligned over the overlap.

    Ziegler and Asano, arXiv 2204.13101, section 3.2; MkuuWaUjinga/leopart ``src/leopart.py``. The
    teacher's cells of each assigning view are shared out evenly among the prototypes, over the
    images of all processes and, once it is full, a queue of older cells. Every other view
    predicts that assignment on a grid over what the two views both show. Means are over the cells
    of all processes; pairs of views without an overlap contribute nothing. It works on the
    patches of a vision transformer and on the maps of a ResNet alike.

    Differences from that code: the loss is over all cells (its ``loss_mask='all'``, what its
    ResNet recipe has; the focus on the foreground needs the attention of the class token, which
    our backbones do not return). The queue is one for all processes, takes the same number of
    cells from every image, and is compared with the teacher's prototypes as the batch is, not with
    the student's. Flips and any other affine map are undone, where that code has none.

    Args:
        in_channels: channels of the backbone's stage maps.
        head: config of a projection head of vectors (HEADS registry), applied to every cell.
        num_prototypes: K.
        temperature: of the predictions.
        epsilon: of ``dense_cl.losses.sinkhorn``.
        sinkhorn_iterations: of the same.
        num_views: V, views of an image, the larger ones first.
        num_assign_views: A, how many of the first views assign.
        grid_size: side of the grid over an overlap.
        queue_size: cells that take part in the assignment beside the batch; 0 for none.
        queue_per_image: cells of each image that enter the queue in a step.
        stage: which stage map to cluster, -1 for the last. The stages behind it then learn from
            other objectives only.

    Raises:
        DenseCLError: no positive epsilon, fewer than two prototypes or views, or not
            1 <= A <= V.
    """

    name = "leopart"
    joint_views = True

    def __init__(
        self,
        in_channels: tuple[int, ...],
        head: Mapping[str, Any],
        num_prototypes: int = 300,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        sinkhorn_iterations: int = 3,
        num_views: int = 6,
        num_assign_views: int = 2,
        grid_size: int = 7,
        queue_size: int = 8192,
        queue_per_image: int = 10,
        stage: int = -1,
    ) -> None:
        super().__init__()
        if num_views < 2 or not 1 <= num_assign_views <= num_views:
            raise DenseCLError(
                f"Leopart: num_views={num_views}, num_assign_views={num_assign_views}: at least"
                " two views are compared, and from one to all of them assign."
            )
        if epsilon <= 0 or num_prototypes < 2:
            raise DenseCLError(
                f"Leopart: epsilon={epsilon} must be above 0 and num_prototypes={num_prototypes}"
                " at least 2."
            )
        check_positive(
            "Leopart",
            temperature=temperature,
            sinkhorn_iterations=sinkhorn_iterations,
            grid_size=grid_size,
            queue_per_image=queue_per_image,
        )
        self.num_stages = check_stage("Leopart", stage, in_channels)
        self.stage, self.seed, self.grid_size = stage, 0, grid_size
        self.temperature, self.epsilon = temperature, epsilon
        self.sinkhorn_iterations = sinkhorn_iterations
        self.online_views = tuple(range(num_views))
        self.target_views = tuple(range(num_assign_views))
        self.cell_head = HEADS.build(dict(head, in_channels=in_channels[stage]))
        channels = self.cell_head.out_channels
        self.prototypes = Prototypes(channels, num_prototypes)
        self.target_head = TargetNetwork(self.cell_head)
        self.target_prototypes = TargetNetwork(self.prototypes)
        self.queue = CellQueue(queue_size, num_assign_views, channels) if queue_size else None
        self.queue_per_image = queue_per_image
        self._new_keys: Tensor | None = None

    def prepare(self, num_images: int | None, seed: int) -> None:
        """Learn the seed of the choice of cells for the queue."""
        self.seed = seed

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the loss; see ``dense_cl.losses.assignment_prediction``."""
        scores = [
            _similarity_map(self._embed(features.online[v], self.cell_head), self.prototypes.weight)
            for v in self.online_views
        ]
        with torch.no_grad():
            cells = [self._embed(features.target[a], self.target_head) for a in self.target_views]
            assignments = [self._assign(a, cells[a]) for a in self.target_views]
            if self.queue is not None:
                seed = (self.seed, features.step)
                self._new_keys = choose_cells(cells, self.queue_per_image, seed)
        pairs = [(a, v) for a in self.target_views for v in self.online_views if v != a]
        losses, agreeing, shared = zip(
            *(self._predict(features, pair, assignments, scores) for pair in pairs), strict=True
        )
        diagnostics = {
            "agreement": torch.stack(agreeing).sum() / torch.stack(shared).sum().clamp(min=1),
            "confidence": torch.stack([q.amax(dim=1).mean() for q in assignments]).mean(),
            "overlap": torch.stack(shared).float().mean()
            / (len(features.online[0].last) * self.grid_size**2),
        }
        if self.queue is not None:
            diagnostics["queue_filled"] = self.queue.filled_fraction
        return ObjectiveOutput(torch.stack(losses).mean(), diagnostics)

    def _predict(
        self,
        features: FeatureBundle,
        pair: tuple[int, int],
        assignments: list[Tensor],
        scores: list[Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of one view for the assignment of another, agreeing and valid cells."""
        assigning, predicting = (features.online[v].view for v in pair)
        grid = OverlapGrid(assigning, predicting, (self.grid_size, self.grid_size))
        valid_N = grid.valid_BS.flatten()
        assignment_NK = rows_of(grid.sample(assignments[pair[0]], assigning))
        scores_NK = rows_of(grid.sample(scores[pair[1]], predicting))
        loss = assignment_prediction(scores_NK, assignment_NK, self.temperature, valid_N)
        with torch.no_grad():
            agree = (assignment_NK.argmax(dim=1) == scores_NK.argmax(dim=1)) & valid_N
        return rescale_mean(loss, valid_N.sum()), agree.sum(), valid_N.sum()

    def _embed(self, features: ViewFeatures, head: nn.Module) -> Tensor:
        """Unit embeddings of all cells, (B, D, H, W)."""
        return unit(on_cells(head, features.stages[self.stage]))

    def _assign(self, view: int, embedding_BDHW: Tensor) -> Tensor:
        """Share the cells of all processes out evenly; those of this one, (B, K, H, W)."""
        rows_ND = rows_of(embedding_BDHW)
        sizes = gather_sizes(len(rows_ND), rows_ND.device)
        start = sum(sizes[: rank()])
        everyone_ND = concat_all_gather(rows_ND, sizes)
        if self.queue is not None and self.queue.filled_fraction == 1:
            everyone_ND = torch.cat([everyone_ND, self.queue.cells(view)])
        prototypes_KD = unit(cast(Prototypes, self.target_prototypes.network).weight)
        scores_NK = similarities(everyone_ND, prototypes_KD)
        assignment_NK = sinkhorn(scores_NK, self.epsilon, self.sinkhorn_iterations)
        mine = assignment_NK[start : start + len(rows_ND)]
        batch, _, height, width = embedding_BDHW.shape
        return mine.unflatten(0, (batch, height, width)).permute(0, 3, 1, 2)

    def after_step(self) -> None:
        """Set the prototypes' length back to 1 and enqueue the cells of the last pass."""
        self.prototypes.normalise()
        if self.queue is not None and self._new_keys is not None:
            self.queue.enqueue(self._new_keys)
            self._new_keys = None


def _similarity_map(embedding_BDHW: Tensor, prototypes_KD: Tensor) -> Tensor:
    """Cosines of cells and prototypes, (B, K, H, W)."""
    return similarities(embedding_BDHW.permute(0, 2, 3, 1), prototypes_KD).permute(0, 3, 1, 2)
