"""Find mistakes in a recipe before anything is built, and name the nearest valid word."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

from dense_cl import registry as ours
from dense_cl.engine.dataloader import build_dataloader
from dense_cl.engine.runner import DEFAULT_HOOKS, NEEDED_HOOKS, PretrainRunner
from dense_cl.engine.signatures import Accepted, accepted, fits, readable
from dense_cl.errors import DenseCLError, nearest
from dense_cl.mining.settings import MiningSettings
from dense_cl.models.target import TargetNetwork
from dense_cl.views.box_jitter import BoxJitter

# Registry by the name of the setting that holds the {type: ..., ...} or the list of them.
_REGISTRIES: dict[str, Registry] = {
    "model": ours.MODELS,
    "data_preprocessor": ours.MODELS,
    "backbone": ours.MODELS,
    "objectives": ours.OBJECTIVES,
    "head": ours.HEADS,
    "correspondence": ours.CORRESPONDENCES,
    "dataset": ours.DATASETS,
    "source": ours.SOURCES,
    "views": ours.VIEWS,
    "patches": ours.VIEWS,
    "crop": ours.CROPS,
    "regions": ours.REGIONS,
    "saliency": ours.REGIONS,
    "provider": ours.REGIONS,
    "optim_wrapper": ours.OPTIM_WRAPPERS,
    "optimizer": ours.OPTIMIZERS,
    "param_scheduler": ours.PARAM_SCHEDULERS,
    "train_cfg": ours.LOOPS,
    "custom_hooks": ours.HOOKS,
    "visualizer": ours.VISUALIZERS,
    "vis_backends": ours.VISBACKENDS,
    "model_wrapper_cfg": ours.MODEL_WRAPPERS,
}
# What may stand there beyond the arguments of the type.
_ALSO: dict[str, dict[str, Any]] = {
    "objectives": {"weight": float | dict},
    "param_scheduler": {"convert_to_iter_based": bool},
    "optim_wrapper": {"constructor": str, "paramwise_cfg": dict},
    "custom_hooks": {"priority": str | int},
    "default_hooks": {"priority": str | int},
}
# Arguments that the library fills in.
_PROVIDED = {
    "objectives": {"in_channels"},
    "head": {"in_channels"},
    "dataset": {"seed"},
    "optimizer": {"params"},
    "param_scheduler": {"optimizer", "param_name"},
    "train_cfg": {"runner", "dataloader"},
    "visualizer": {"name", "save_dir"},
    "vis_backends": {"save_dir"},
    "model_wrapper_cfg": {"module"},
}
_DEFAULT_TYPE = {
    "optim_wrapper": "OptimWrapper",
    "visualizer": "Visualizer",
    "model_wrapper_cfg": "DistributedLearner",
}


def _scale(enable: bool = False, base_batch_size: int = 256) -> None:
    """Stand for ``auto_scale_lr``."""


def _environment(
    cudnn_benchmark: bool = False,
    mp_cfg: dict | None = None,
    dist_cfg: dict | None = None,
    resource_limit: int = 4096,
) -> None:
    """Stand for ``env_cfg``."""


# Settings without a type: the function that takes them.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "train_dataloader": build_dataloader,
    "target": TargetNetwork,
    "box_jitter": BoxJitter,
    "mining": MiningSettings,
    "randomness": PretrainRunner.set_randomness,
    "auto_scale_lr": _scale,
    "env_cfg": _environment,
}
_FILLED_IN = {"train_dataloader": {"seed"}, "target": {"online"}}
_PLAIN = {
    "default_scope": str,
    "work_dir": str,
    "launcher": str,
    "resume": bool | str,
    "load_from": str | None,
    "amp": bool | None,
    "compile": bool | dict,
    "log_level": str,
    "experiment_name": str,
    "activation_checkpointing": list,
    "custom_imports": dict,
    "default_hooks": dict,
}
_TOP = set(_PLAIN) | {
    "model", "train_dataloader", "optim_wrapper", "param_scheduler", "train_cfg", "custom_hooks",
    "visualizer", "model_wrapper_cfg", "randomness", "auto_scale_lr", "env_cfg",
}  # fmt: skip
_REQUIRED = ("model", "train_dataloader", "optim_wrapper", "train_cfg")


def check_config(cfg: Config) -> None:
    """Check names, types and numbers of every setting.

    A top-level name that begins with an underscore is the recipe's own variable.

    Raises:
        DenseCLError: lists every mistake, each with the nearest valid name.
    """
    settings = cfg.to_dict()
    problems = [f"'{name}' is missing" for name in _REQUIRED if name not in settings]
    for name, value in settings.items():
        if name.startswith("_"):
            continue
        if name not in _TOP:
            problems.append(f"there is no setting '{name}'.{nearest(name, _TOP)}")
        elif name == "default_hooks":
            problems += _check_default_hooks(value)
        elif name in _PLAIN:
            problems += _check_value(name, value, _PLAIN[name])
        else:
            problems += _check(name, value, name)
    problems += _not_twice(settings) + _not_repeatable(settings.get("randomness"))
    if problems:
        where = f"config '{cfg.filename}'" if cfg.filename else "config"
        raise DenseCLError(f"{where}: " + "\n  ".join(problems))


def _not_repeatable(randomness: Any) -> list[str]:
    """Find what would draw other numbers after a restart, or other ones in each process."""
    if not isinstance(randomness, Mapping):
        return []
    problems = []
    seed = randomness.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        problems.append(f"randomness.seed is {seed!r}; give a number from 0 to {2**32 - 1}")
    if randomness.get("diff_rank_seed"):
        problems.append(
            "randomness.diff_rank_seed: all processes draw one order of the images and share it;"
            " leave it out"
        )
    return problems


def _not_twice(settings: Mapping[str, Any]) -> list[str]:
    """Find what cannot be differentiated twice, as the objective of attention needs it."""
    model = settings.get("model")
    listed = model.get("objectives") if isinstance(model, Mapping) else None
    attention = [
        objective
        for objective in (listed if isinstance(listed, Sequence) else ())
        if isinstance(objective, Mapping) and objective.get("type") == "GradCAMAttention"
    ]
    problems = []
    if attention and settings.get("compile"):
        problems.append(
            "compile: torch.compile cannot differentiate twice, which GradCAMAttention needs; leave"
            " compile out"
        )
    before_last = any(objective.get("layer", -1) != -1 for objective in attention)
    if before_last and settings.get("activation_checkpointing"):
        problems.append(
            "activation_checkpointing: GradCAMAttention looks at a layer before the last, to which"
            " no gradient leads through checkpoints; leave it out, or set layer=-1"
        )
    return problems


def _check(name: str, value: Any, path: str) -> list[str]:
    """Check a setting by its name: one typed dict, a list of them, or a plain group."""
    if name in ("transforms", "shared"):
        return _check_transforms(value, path)
    if isinstance(value, list | tuple) and name in _REGISTRIES:
        return [p for i, item in enumerate(value) for p in _check(name, item, f"{path}.{i}")]
    if name in _FUNCTIONS and isinstance(value, Mapping):
        allowed = accepted(_FUNCTIONS[name])
        return _check_arguments(value, allowed, _FILLED_IN.get(name, set()), path)
    if name in _REGISTRIES and value is not None:
        if not isinstance(value, Mapping):
            return [f"{path} is {value!r}; it should be a dict with a 'type'"]
        return _check_typed(name, value, path)
    return []


def _check_typed(name: str, value: Mapping[str, Any], path: str) -> list[str]:
    kind = value.get("type", _DEFAULT_TYPE.get(name))
    if kind is None:
        return [f"{path} has no 'type'"]
    target = kind if callable(kind) else _find(_REGISTRIES.get(name, ours.HOOKS), kind)
    if target is None:
        choices = _names(_REGISTRIES.get(name, ours.HOOKS))
        return [f"{path}.type: there is no '{kind}'.{nearest(kind, choices)}"]
    allowed = accepted(target)
    types = allowed.types | _ALSO.get(name, {})
    if name == "param_scheduler":
        # The LR mix-in hides the signature of the schedule behind *args, **kwargs.
        allowed = Accepted(types, allowed.required, False)
    arguments = {key: item for key, item in value.items() if key not in ("type", "_scope_")}
    return _check_arguments(
        arguments,
        Accepted(types, allowed.required, allowed.open),
        _PROVIDED.get(name, set()),
        path,
        f" ({getattr(kind, '__name__', kind)})",
    )


def _check_arguments(
    value: Mapping[str, Any], allowed: Accepted, provided: set[str], path: str, of: str = ""
) -> list[str]:
    problems = [
        f"{path}.{name} is missing" for name in sorted(allowed.required - provided - set(value))
    ]
    choices = set(allowed.types) - provided
    for key, item in value.items():
        if key in allowed.types:
            problems += _check_value(f"{path}.{key}", item, allowed.types[key])
            problems += _check(key, item, f"{path}.{key}")
        elif not allowed.open:
            problems.append(f"{path}{of} has no '{key}'.{nearest(str(key), choices)}")
    return problems


def _check_value(path: str, value: Any, annotation: Any) -> list[str]:
    if fits(value, annotation):
        return []
    return [f"{path} is {value!r}; it should be of type {readable(annotation)}"]


def _check_default_hooks(hooks: Mapping[str, Any]) -> list[str]:
    problems = []
    for name, hook in hooks.items():
        path = f"default_hooks.{name}"
        if name not in DEFAULT_HOOKS:
            problems.append(f"default_hooks has no '{name}'.{nearest(name, DEFAULT_HOOKS)}")
        elif isinstance(hook, Mapping):
            typed = hook if "type" in hook else {**DEFAULT_HOOKS[name], **hook}
            problems += _check_typed("default_hooks", typed, path)
        elif hook is not None or name in NEEDED_HOOKS:
            none = "" if name in NEEDED_HOOKS else ", or None for no such hook"
            problems.append(f"{path} is {hook!r}; it should be a dict{none}")
    return problems


def _check_transforms(transforms: Any, path: str) -> list[str]:
    """Build each transform, which is cheap and knows albumentations' own rules."""
    from dense_cl.views.pipeline import build_transform

    problems = []
    for index, transform in enumerate(transforms if isinstance(transforms, Sequence) else []):
        try:
            build_transform(transform)
        except DenseCLError as error:
            problems.append(f"{path}.{index}: {error}")
    return problems


def _find(registry: Registry, kind: str) -> Any:
    if kind.startswith("mmdet."):
        from dense_cl.transfer.mmcv_ops import ensure  # before mmdet looks for compiled operators

        ensure()
    return registry.get(kind)


def _names(registry: Registry) -> list[str]:
    """Return the names of a registry and its ancestors."""
    names: list[str] = []
    current: Registry | None = registry
    while current is not None:
        names += current.module_dict
        current = current.parent
    return names
