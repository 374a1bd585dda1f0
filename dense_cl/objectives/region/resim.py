"""ReSim: tell a window of the other view from all places of the batch, on several stage maps."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.errors import DenseCLError, check_positive
from dense_cl.losses.info_nce import InfoNCETerms, info_nce, unit
from dense_cl.models.box_features import pool_boxes, with_image
from dense_cl.models.distributed import concat_all_gather, rescale_mean
from dense_cl.models.features import FeatureBundle, ObjectiveOutput
from dense_cl.models.pyramid import FeaturePyramid
from dense_cl.models.target import TargetNetwork
from dense_cl.objectives.base import Objective
from dense_cl.objectives.region.windows import map_windows, window_grid
from dense_cl.registry import OBJECTIVES
from dense_cl.views.batch import ViewBatch

_PLACE = 3  # cells on a side of what is averaged to a negative


class _Level(NamedTuple):
    output: int  # of the pyramid
    window: int
    stride: int
    gather: bool


@OBJECTIVES.register_module()
class ReSim(Objective):
    """Region-level contrast over sliding windows; the image-level term is an objective of its own.

    Xiao et al., arXiv 2103.12902; Tete-Xiao/ReSim ``moco/builder.py``, ``moco/datasets.py`` and
    ``moco/models.py``. Windows slide over view 0; those that view 1 shows completely are pooled
    from a pyramid on both views. The positive of a window is itself in view 1, by the EMA encoder
    and EMA pyramid; its negatives are all 3 x 3 cells of the EMA maps of the batch, its own image
    included, as released. Each level has a contrast of its own, and the loss is their sum.

    The defaults are ReSim-FPN at 224 pixels. ReSim-C4, of which the authors released weights and no
    code, is ``stages=(-2,), windows=(48,), strides=(32,), gather=(True,), top=-2``: the pyramid is
    then two convolutions on C4.

    Windows are of equal pixels of the source by geometry, and averaged over, so views may be
    flipped differently (the window is the same set of cells); the paper's shared flip only makes
    the task easier for a network that is not symmetric itself. Unlike in the authors' code
    (``prroi_pool2d`` without half-pixel centres, half a cell off) pooling is
    ``torchvision.ops.roi_align``; the windows are centred on the view; and one that ends at the
    view's border counts. No overlap contributes nothing.

    Args:
        in_channels: channels of the backbone's stage maps.
        stages: the levels, counted from the last stage, -1; -2 is C4.
        windows: side of the windows of each level, in pixels of view 0.
        strides: between neighbouring windows of each level, in pixels.
        gather: whether the negatives of each level come from all processes, or this one. As
            released: C4 from all, C3, which has four times the cells, from this one.
        top: stage where the pyramid begins, counted like ``stages``.
        channels: of the pyramid.
        norm: 'BN', 'SyncBN' or 'GN' in the pyramid; None for none.
        temperature: T > 0; 0.2 in the authors' command.

    Raises:
        DenseCLError: lists of different lengths, or stages that the backbone has not.
    """

    name = "resim"
    target_views = (1,)

    def __init__(
        self,
        in_channels: tuple[int, ...],
        stages: Sequence[int] = (-2, -3),
        windows: Sequence[int] = (48, 32),
        strides: Sequence[int] = (32, 24),
        gather: Sequence[bool] = (True, False),
        top: int = -1,
        channels: int = 256,
        norm: str | None = None,
        temperature: float = 0.2,
    ) -> None:
        super().__init__()
        if not stages or not len(stages) == len(windows) == len(strides) == len(gather):
            raise DenseCLError(
                f"ReSim: stages={tuple(stages)}, windows={tuple(windows)},"
                f" strides={tuple(strides)}, gather={tuple(gather)} need one entry for each level."
            )
        lowest = min(stages)
        if not -len(in_channels) <= lowest <= max(stages) <= top < 0:
            raise DenseCLError(
                f"ReSim: stages={tuple(stages)}, top={top}: count from -1, the last, to"
                f" -{len(in_channels)}, and begin the pyramid at the deepest of them or above."
            )
        check_positive("ReSim", temperature=temperature, channels=channels)
        for window, stride in zip(windows, strides, strict=True):
            check_positive("ReSim", windows=window, strides=stride)
        self.num_stages = -lowest
        outputs = [stage - lowest for stage in stages]
        self.levels = list(map(_Level, outputs, windows, strides, gather))
        self.temperature = temperature
        self.inputs = slice(lowest, top + 1 or None)
        self.neck = FeaturePyramid(
            in_channels[self.inputs], channels, norm, max(stages) - lowest + 1
        )
        self.target_neck = TargetNetwork(self.neck)

    def forward(self, features: FeatureBundle) -> ObjectiveOutput:
        """Return the sum over levels; see ``dense_cl.losses.info_nce``."""
        query, key = features.online[0], features.target[1]
        query_maps = self.neck(query.stages[self.inputs])
        key_maps = self.target_neck(key.stages[self.inputs])
        terms, matched = zip(
            *(
                self._contrast(level, query_maps, key_maps, query.view, key.view)
                for level in self.levels
            ),
            strict=True,
        )
        diagnostics = {
            name: torch.stack([getattr(term, name) for term in terms]).mean()
            for name in ("positive_similarity", "queue_accuracy")
        }
        diagnostics["matched"] = torch.stack(matched).mean()
        return ObjectiveOutput(torch.stack([term.loss for term in terms]).sum(), diagnostics)

    def _contrast(
        self,
        level: _Level,
        query_maps: Sequence[Tensor],
        key_maps: Sequence[Tensor],
        query_view: ViewBatch,
        key_view: ViewBatch,
    ) -> tuple[InfoNCETerms, Tensor]:
        """Return the terms of one level, and the share of windows that both views show."""
        query_BCHW, key_BCHW = query_maps[level.output], key_maps[level.output]
        window_M4 = window_grid(query_view.view_size, level.window, level.stride)
        window_M4 = window_M4.to(query_view.matrix.device)
        mapped_BM4, valid_BM = map_windows(query_view, key_view, window_M4)
        mapped_BM4 = torch.where(valid_BM[..., None], mapped_BM4, window_M4)  # any box will do
        query_NC = _window_means(query_BCHW, window_M4.expand_as(mapped_BM4), query_view)
        key_NC = _window_means(key_BCHW, mapped_BM4, key_view)
        negatives_KC = _places(key_BCHW)
        if level.gather:
            negatives_KC = concat_all_gather(negatives_KC)
        valid_N = valid_BM.flatten()
        terms = info_nce(query_NC, key_NC, negatives_KC, self.temperature, valid_N)
        loss = rescale_mean(terms.loss, valid_N.sum())
        return terms._replace(loss=loss), valid_N.float().mean()


def _window_means(map_BCHW: Tensor, boxes_BM4: Tensor, view: ViewBatch) -> Tensor:
    """Average the map over each box: (B * M, C)."""
    return pool_boxes(map_BCHW, with_image(boxes_BM4), view.view_size, side=1).flatten(1)


def _places(map_BCHW: Tensor) -> Tensor:
    """Return the unit averages of all blocks of cells, (K, C)."""
    if min(map_BCHW.shape[2:]) < _PLACE:
        raise DenseCLError(
            f"ReSim: a map of {tuple(map_BCHW.shape[2:])} cells is too small, it takes {_PLACE} on"
            " a side; choose a shallower stage or larger views."
        )
    mean_BChw = F.avg_pool2d(map_BCHW, _PLACE, stride=1)
    return unit(mean_BChw.permute(0, 2, 3, 1).flatten(0, 2))
