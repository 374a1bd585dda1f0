"""Registries of dense_cl, children of MMEngine's, so configs name our types and theirs alike."""

from collections.abc import Mapping
from typing import Any

from mmengine import registry as _mmengine

_SCOPE = "dense_cl"


class Registry(_mmengine.Registry):
    """Builds in our scope, whatever default scope another library has set in this process.

    MMEngine looks a bare type name up in the default scope first. After MMDetection was used in a
    notebook that is MMDetection's, in which ``ResNet`` is another class and ours are unknown.
    """

    def build(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        """Build ``cfg`` as MMEngine does; a ``_scope_`` of its own wins."""
        if isinstance(cfg, Mapping):
            cfg = {"_scope_": _SCOPE, **cfg}
        return super().build(cfg, *args, **kwargs)


MODELS = Registry("model", parent=_mmengine.MODELS, scope=_SCOPE, locations=["dense_cl.models"])
MODEL_WRAPPERS = Registry(
    "model_wrapper",
    parent=_mmengine.MODEL_WRAPPERS,
    scope=_SCOPE,
    locations=["dense_cl.engine"],
)
DATASETS = Registry(
    "dataset",
    parent=_mmengine.DATASETS,
    scope=_SCOPE,
    locations=["dense_cl.views.dataset", "dense_cl.views.object_pairs"],
)
DATA_SAMPLERS = Registry(
    "data_sampler",
    parent=_mmengine.DATA_SAMPLERS,
    scope=_SCOPE,
    locations=["dense_cl.engine"],
)
FUNCTIONS = Registry(
    "function", parent=_mmengine.FUNCTIONS, scope=_SCOPE, locations=["dense_cl.views.collate"]
)
HOOKS = Registry("hook", parent=_mmengine.HOOKS, scope=_SCOPE, locations=["dense_cl.engine"])
LOOPS = Registry("loop", parent=_mmengine.LOOPS, scope=_SCOPE, locations=["dense_cl.engine"])
RUNNERS = Registry("runner", parent=_mmengine.RUNNERS, scope=_SCOPE, locations=["dense_cl.engine"])
METRICS = Registry(
    "metric", parent=_mmengine.METRICS, scope=_SCOPE, locations=["dense_cl.transfer.metrics"]
)
TRANSFORMS = Registry(
    "transform", parent=_mmengine.TRANSFORMS, scope=_SCOPE, locations=["dense_cl.transfer.panoptic"]
)
OPTIMIZERS = Registry(
    "optimizer", parent=_mmengine.OPTIMIZERS, scope=_SCOPE, locations=["dense_cl.engine"]
)
PARAM_SCHEDULERS = Registry(
    "parameter_scheduler",
    parent=_mmengine.PARAM_SCHEDULERS,
    scope=_SCOPE,
    locations=["dense_cl.engine"],
)
OPTIM_WRAPPERS = Registry(
    "optim_wrapper",
    parent=_mmengine.OPTIM_WRAPPERS,
    scope=_SCOPE,
    locations=["dense_cl.engine"],
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    "optim_wrapper_constructor",
    parent=_mmengine.OPTIM_WRAPPER_CONSTRUCTORS,
    scope=_SCOPE,
    locations=["dense_cl.engine"],
)
# Nothing of ours in these; without a child of its own, MMEngine warns at every look-up.
VISUALIZERS = Registry(
    "visualizer", parent=_mmengine.VISUALIZERS, scope=_SCOPE, locations=["dense_cl.engine"]
)
VISBACKENDS = Registry(
    "vis_backend", parent=_mmengine.VISBACKENDS, scope=_SCOPE, locations=["dense_cl.engine"]
)

# Kinds that MMEngine has no registry for.
SOURCES = Registry("image_source", scope=_SCOPE, locations=["dense_cl.sources"])
VIEWS = Registry(
    "view_group",
    scope=_SCOPE,
    locations=["dense_cl.views.group", "dense_cl.views.object_pairs"],
)
CROPS = Registry(
    "crop_policy",
    scope=_SCOPE,
    locations=[
        "dense_cl.views.crops",
        "dense_cl.views.saliency_crop",
        "dense_cl.views.object_crop",
    ],
)
REGIONS = Registry(
    "region_provider",
    scope=_SCOPE,
    locations=["dense_cl.regions.providers", "dense_cl.regions.saliency"],
)
# For augmentations of the user; albumentations' own are found by their class names.
AUGMENTATIONS = Registry("augmentation", scope=_SCOPE)
OBJECTIVES = Registry("objective", scope=_SCOPE, locations=["dense_cl.objectives"])
HEADS = Registry("head", scope=_SCOPE, locations=["dense_cl.models"])
CORRESPONDENCES = Registry("correspondence", scope=_SCOPE, locations=["dense_cl.models"])
