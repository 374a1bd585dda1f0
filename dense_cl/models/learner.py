"""The model that every pretraining method shares: encoders, and a list of objectives."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from dense_cl.diagnostics.collapse import effective_rank, feature_std
from dense_cl.errors import DenseCLError
from dense_cl.models.backbones import build_backbone
from dense_cl.models.encoding import Encoding
from dense_cl.models.features import FeatureBundle, ViewFeatures
from dense_cl.models.schedule import Schedule, check_schedule, schedule_value
from dense_cl.models.target import TargetNetwork
from dense_cl.registry import MODELS, OBJECTIVES
from dense_cl.views.batch import ViewBatch, crop_rates

if TYPE_CHECKING:  # objectives build on models
    from dense_cl.objectives.base import Objective

# The singular values of a batch of features are not free on a GPU, and move slowly.
_RANK_INTERVAL = 10


@MODELS.register_module()
class Learner(BaseModel):
    """Runs each view once through the encoders and hands the features to every objective.

    Args:
        backbone: config of the online encoder (see ``build_backbone``).
        objectives: configs of the loss terms (OBJECTIVES registry), each with an optional
            ``weight``, a number or a schedule by optimiser steps.
        target: ``dict(ema_decay=...)`` of the EMA encoder and of the objectives' EMA heads;
            None if no objective looks at target features.
        shuffle_bn: MoCo's shuffling BN for the target encoder; nothing to shuffle in one process.
        channels_last: keep convolution weights channels_last in memory.
        chunk_size: images that hold activations of an encoder at a time; the gradient is that of
            the whole batch all the same (see ``dense_cl.models.gradient_cache``). None: all.
        data_preprocessor: config of the preprocessor.

    Attributes:
        backbone: the online encoder, what pretraining is for.
        step: buffer, optimiser steps taken.
        total_steps: optimiser steps of the whole run, set by the engine; 0 when unknown.
    """

    step: Tensor

    def __init__(
        self,
        backbone: Mapping[str, Any],
        objectives: Sequence[Mapping[str, Any]],
        target: Mapping[str, Any] | None = None,
        shuffle_bn: bool = True,
        channels_last: bool = True,
        chunk_size: int | None = None,
        data_preprocessor: Mapping[str, Any] | None = None,
    ) -> None:
        preprocessor = MODELS.build(dict(data_preprocessor or {"type": "ViewPreprocessor"}))
        super().__init__(data_preprocessor=preprocessor)
        self.backbone = build_backbone(backbone)
        self.target = TargetNetwork(self.backbone, **target) if target is not None else None
        if chunk_size is not None and chunk_size < 1:
            raise DenseCLError(
                f"model.chunk_size is {chunk_size}; give at least 1, or None for whole batches."
            )
        self.objectives = nn.ModuleDict()
        self.weights: dict[str, Schedule] = {}
        for cfg in objectives:
            self._add_objective(dict(cfg))
        self.total_steps = 0
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))
        self._check_objectives()
        self.encoding = Encoding(
            num_stages=max(o.num_stages for _, o in self.named_objectives()),
            class_token=self.backbone.class_token,
            joint_views=any(o.joint_views for _, o in self.named_objectives()),
            shuffle_bn=shuffle_bn,
            chunk_size=chunk_size,
        )
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def _add_objective(self, cfg: dict[str, Any]) -> None:
        weight: Schedule = cfg.pop("weight", 1.0)
        check_schedule(weight)
        objective = OBJECTIVES.build(dict(cfg, in_channels=self.backbone.out_channels))
        name = objective.name or snake_case(type(objective).__name__)
        if name in self.objectives:
            name = next(
                other for n in itertools.count(2) if (other := f"{name}_{n}") not in self.objectives
            )
        self.objectives[name] = objective
        self.weights[name] = weight

    def _check_objectives(self) -> None:
        if not self.objectives:
            raise DenseCLError("model.objectives is empty: there is nothing to learn from.")
        for _, objective in self.named_objectives():
            objective.bind(self.backbone, dict(self.named_objectives()))
        parts = [part for _, o in self.named_objectives() for part in o.detector_parts.values()]
        twice = next((part for part in parts if parts.count(part) > 1), None)
        if twice is not None:
            raise DenseCLError(
                f"two objectives train the {twice} of a detector, which can start from one only."
                " Take one of them out of model.objectives."
            )
        wanting = [n for n, o in self.named_objectives() if o.target_views and not self.target]
        if wanting:
            raise DenseCLError(
                f"objectives {', '.join(wanting)} look at target features: set"
                " model.target=dict(ema_decay=...)."
            )
        for network in self.target_networks():
            if network.ema_decay is None and self.target is not None:
                network.ema_decay = self.target.ema_decay

    def named_objectives(self) -> "Iterator[tuple[str, Objective]]":
        """Yield the objectives by the names their terms have."""
        return (cast("tuple[str, Objective]", item) for item in self.objectives.items())

    def target_networks(self) -> Iterator[TargetNetwork]:
        """Yield every EMA copy: the encoder's and those inside objectives."""
        return (module for module in self.modules() if isinstance(module, TargetNetwork))

    def forward(
        self,
        views: Sequence[ViewBatch],
        index: Tensor | None = None,
        mode: str = "loss",
    ) -> dict[str, Tensor] | tuple[Tensor, ...]:
        """Compute losses or feature maps; leaves no trace but BatchNorm statistics.

        Args:
            views: preprocessed views, (B, 3, H, W) each.
            index: (B,) positions in the data set.
            mode: 'loss' or 'tensor'.

        Returns:
            'loss': scalars: ``loss_<objective>`` (weighted), ``<objective>`` (not weighted),
            ``<objective>_<diagnostic>``, ``feature_std`` and, at some steps,
            ``effective_rank`` of the pooled online features; ``crop_rates`` of the views.
            'tensor': the stage maps of the first view.

        Raises:
            DenseCLError: no views (every image of the batch was unreadable), fewer views than
                an objective needs, or another mode.
        """
        if not views:
            raise DenseCLError("the batch holds no readable image.")
        if mode == "tensor":
            return self.backbone(views[0].image)
        if mode != "loss":
            raise DenseCLError(f"Learner has no mode '{mode}'; use 'loss' or 'tensor'.")
        features = self.encode(views, index)
        losses = self._diagnostics(features) | crop_rates(views)
        for name, objective in self.named_objectives():
            output = objective(features)
            weight = schedule_value(self.weights[name], features.step, features.total_steps)
            losses[f"loss_{name}"] = weight * output.loss
            losses[name] = output.loss.detach()
            losses |= {f"{name}_{term}": value for term, value in output.diagnostics.items()}
        return losses

    def encode(self, views: Sequence[ViewBatch], index: Tensor | None = None) -> FeatureBundle:
        """Run the views that objectives look at through the encoders."""
        step = int(self.step)
        online_views = sorted({v for _, o in self.named_objectives() for v in o.online_views})
        target_views = sorted({v for _, o in self.named_objectives() for v in o.target_views})
        masked_views = {view for _, o in self.named_objectives() for view in o.masked_views}
        _require_views(max(max(o.looked_at) for _, o in self.named_objectives()) + 1, len(views))
        for name, objective in self.named_objectives():
            looked_at = [views[v] for v in objective.looked_at]
            require_regions(name, objective.regions, looked_at)
            _require_saliency(name, objective.saliency, looked_at)
            _require_images(name, objective, views)
        online = self.encoding.online(self.backbone, views, online_views)
        target: dict[int, ViewFeatures] = {}
        if self.target is not None:
            target = self.encoding.target(self.target, views, target_views, step)
        networks = {"online": self.backbone, "target": self.target}
        masked = self.encoding.masked(networks, views, sorted(masked_views), step)
        return FeatureBundle(online, target, step, self.total_steps, index, masked)

    @torch.no_grad()
    def _diagnostics(self, features: FeatureBundle) -> dict[str, Tensor]:
        pooled = next(iter(features.online.values())).pooled
        terms = {"feature_std": feature_std(pooled)}
        if features.step % _RANK_INTERVAL == 0:
            terms["effective_rank"] = effective_rank(pooled)
        return terms

    def prepare(self, num_images: int | None, seed: int) -> None:
        """Tell the objectives about the run; see ``Objective.prepare``."""
        for _, objective in self.named_objectives():
            objective.prepare(num_images, seed)

    @property
    def observed_views(self) -> list[int]:
        """The views of the whole data set that objectives want to see before training."""
        return sorted({v for _, o in self.named_objectives() for v in o.observed_views})

    @torch.no_grad()
    def observe(self, data: Mapping[str, Any]) -> None:
        """Show a batch, as collated, to the objectives that asked for it."""
        batch = self.data_preprocessor(data, True)
        _require_views(max(self.observed_views) + 1, len(batch["views"]))
        online = self.encoding.online(self.backbone, batch["views"], self.observed_views)
        features = FeatureBundle(online, {}, index=batch["index"])
        for _, objective in self.named_objectives():
            if objective.observed_views:
                objective.observe(features)

    def before_epoch(self, epoch: int) -> None:
        """Let the objectives do what an epoch begins with."""
        for _, objective in self.named_objectives():
            objective.before_epoch(epoch)

    def train_step(self, data: Mapping[str, Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """MMEngine's training step, then ``after_train_step``."""
        log_vars = super().train_step(data, optim_wrapper)
        self.after_train_step(optim_wrapper.should_update())
        return log_vars

    def after_train_step(self, optimizer_stepped: bool) -> None:
        """Commit the banks; after an optimiser step also update the EMA copies, once each.

        Args:
            optimizer_stepped: False for the iterations that only accumulate gradients.
        """
        for _, objective in self.named_objectives():
            objective.after_step()
        if not optimizer_stepped:
            return
        step = int(self.step)
        for network in self.target_networks():
            network.update(step, self.total_steps)
        self.step += 1


def _require_views(needed: int, given: int) -> None:
    if given < needed:
        raise DenseCLError(
            f"the objectives need {needed} views of every image, the data give {given};"
            " raise 'count' of a view group."
        )


def require_regions(name: str, kind: str | None, views: Sequence[ViewBatch]) -> None:
    """Check that views have the kind of regions that an objective looks at.

    Raises:
        DenseCLError: they do not; says how they get them.
    """
    if kind is None or all(getattr(view.regions, kind, None) is not None for view in views):
        return
    if any(view.other_image for view in views):
        raise DenseCLError(
            f"objective {name} looks at the {kind.replace('_', ' ')} of regions, which an"
            " ObjectPairDataset gives to 'dense-cl mine' only: leave the objective out, or give the"
            " data another dataset type."
        )
    raise DenseCLError(
        f"objective {name} looks at the {kind.replace('_', ' ')} of regions, which the data do"
        " not have: set train_dataloader.dataset.regions (docs/regions.md)."
    )


def _require_saliency(name: str, wanted: bool, views: Sequence[ViewBatch]) -> None:
    if wanted and any(view.saliency is None for view in views):
        raise DenseCLError(
            f"objective {name} looks at what is salient, which the data do not say: set"
            " train_dataloader.dataset.saliency (docs/saliency.md)."
        )


def _require_images(name: str, objective: "Objective", views: Sequence[ViewBatch]) -> None:
    shown = {v for v in objective.looked_at if views[v].other_image}
    wanted = set(objective.other_image_views)
    if shown - wanted:
        raise DenseCLError(
            f"objective {name} compares views of one image, but view {min(shown - wanted)} shows"
            " another image (ObjectPairDataset): let it look at the views before that, or give the"
            " data another dataset type."
        )
    if wanted - shown:
        raise DenseCLError(
            f"objective {name} needs an object of another image as view {min(wanted - shown)}: use"
            " dataset type 'ObjectPairDataset' (docs/dense_methods.md)."
        )


def snake_case(name: str) -> str:
    """``DenseInfoNCE`` to ``dense_info_nce``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
