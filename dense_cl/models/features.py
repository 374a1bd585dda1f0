"""What the encoders hand to every objective."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from dense_cl.views.batch import ViewBatch

# Which encoder sees the salient pixels of which view; see ``Objective.masked_views``.
MaskedView = tuple[Literal["online", "target"], int]


@dataclass(frozen=True)
class ViewFeatures:
    """Features of one view of a batch of B images, by one encoder.

    Attributes:
        stages: the deepest feature maps of the backbone, (B, C_s, H_s, W_s) each, shallow to
            deep; as many as the objectives asked for (``Objective.num_stages``), so count from
            the end.
        view: the view they were computed from (images and geometry).
        token: (B, C) class token of a backbone that has one (``TimmBackbone(class_token=True)``).
    """

    stages: tuple[Tensor, ...]
    view: ViewBatch
    token: Tensor | None = None

    @property
    def last(self) -> Tensor:
        """The deepest feature map, (B, C, H, W)."""
        return self.stages[-1]

    @property
    def pooled(self) -> Tensor:
        """One vector per image, (B, C): the class token, or the average of the deepest map."""
        return self.last.mean(dim=(2, 3)) if self.token is None else self.token


@dataclass(frozen=True)
class FeatureBundle:
    """Everything an objective may look at in one step.

    Attributes:
        online: features by view index, of the encoder that receives gradients.
        target: features by view index, of the EMA encoder; no gradients.
        step: optimiser steps taken so far.
        total_steps: optimiser steps of the whole run (0 when unknown), for schedules.
        index: (B,) int64 positions of the images in the data set; None when unknown.
        masked: features of the salient pixels alone, by encoder and view index; no gradients.

    Only the views that some objective asked for (``Objective.online_views``,
    ``Objective.target_views`` and ``Objective.masked_views``) are present.
    """

    online: dict[int, ViewFeatures]
    target: dict[int, ViewFeatures]
    step: int = 0
    total_steps: int = 0
    index: Tensor | None = None
    masked: dict[MaskedView, ViewFeatures] = field(default_factory=dict)


@dataclass(frozen=True)
class ObjectiveOutput:
    """What an objective returns.

    Attributes:
        loss: unweighted scalar.
        diagnostics: detached scalars to log, named without the word "loss" (MMEngine sums
            every key that contains it).
    """

    loss: Tensor
    diagnostics: dict[str, Tensor]

    def __post_init__(self) -> None:
        wrong = [name for name in self.diagnostics if "loss" in name]
        if wrong:
            raise ValueError(f"diagnostics must not contain 'loss' in their names: {wrong}")
        assert isinstance(self.loss, torch.Tensor)
