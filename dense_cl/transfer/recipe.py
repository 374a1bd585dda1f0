"""From a fine-tuning recipe and a backbone to a config that follows the rules of fine-tuning."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from dense_cl.engine.config import load_config, merge_options
from dense_cl.errors import DenseCLError
from dense_cl.transfer import detection_config as rules
from dense_cl.transfer.options_check import check_options
from dense_cl.transfer.weights_file import TORCHVISION, read_weights, torchvision_file

RANDOM = "random"
# What weights without a metadata block are taken to be trained with, as torchvision's are.
IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], channel_order="RGB")
_COMMANDS = {"mmdet": "dense-cl finetune", "mmseg": "dense-cl evaluate segmentation-fine-tuning"}


@dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        name: as it was given.
        file: of weights; None for random ones.
        meta: metadata block of the file, empty for files from elsewhere.
    """

    name: str
    file: Path | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return what a result must say of it besides its name."""
        sha256 = hashlib.sha256(self.file.read_bytes()).hexdigest() if self.file else None
        return {"backbone_sha256": sha256, "backbone_method": self.meta.get("method")}


def open_recipe(
    config: str | Path | Config,
    backbone: str | Path,
    scope: str,
    seed: int = 0,
    work_dir: str | Path | None = None,
    resume: bool = False,
    amp: bool | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = "none",
) -> tuple[Config, Start]:
    """Read a recipe and apply everything that does not depend on the labels.

    Args:
        config: recipe: a path, the name of a packaged one, or a ``Config``.
        backbone: a file, ``'random'`` or ``'torchvision'``.
        scope: the library whose models the command trains, ``'mmdet'`` or ``'mmseg'``.
        seed: of everything random.
        work_dir: where everything is written; ``work_dirs/<recipe>`` by default.
        resume: go on from the latest checkpoint of ``work_dir``.
        amp: mixed precision; None for "on CPUs that have bfloat16, else as the recipe says".
        cfg_options: changes to the recipe, {"dotted.key": value}.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        DenseCLError: no such recipe, or of another library; a misspelt option; an unreadable file.
    """
    if not isinstance(backbone, str | Path):
        raise DenseCLError(
            f"backbone is a {type(backbone).__name__}; give the file of its weights, '{RANDOM}' or"
            f" '{TORCHVISION}'."
        )
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise DenseCLError(f"seed is {seed!r}; give a whole number from 0 to {2**32 - 1}.")
    cfg = load_config(config)
    found = cfg.get("default_scope", scope)
    if found != scope:
        mend = f" '{_COMMANDS[found]}' takes it." if found in _COMMANDS else ""
        raise DenseCLError(f"config '{cfg.filename}' is of '{found}', not of '{scope}'.{mend}")
    check_options(cfg, cfg_options or {})
    merge_options(cfg, dict(cfg_options or {}))
    if work_dir is not None or "work_dir" not in cfg:
        cfg.work_dir = str(work_dir or f"work_dirs/{Path(cfg.filename or 'finetune').stem}")
    cfg.launcher, cfg.resume = launcher, resume
    cfg.randomness = dict(cfg.get("randomness", {}), seed=int(seed))
    file = _file(backbone, cfg)
    meta = read_weights(file).meta if file else {}
    rules.set_backbone(cfg, meta.get("architecture"))
    rules.set_amp(cfg, amp)
    rules.set_norm_layers(cfg, distributed=launcher != "none")
    if file:
        rules.set_normalization(cfg, meta.get("normalization", IMAGENET))
    return cfg, Start(str(backbone), file, meta)


def _file(backbone: str | Path, cfg: Config) -> Path | None:
    """Return the file of weights, or None for random ones."""
    kind, _, architecture = str(backbone).partition(":")
    if kind == RANDOM and architecture:
        raise DenseCLError(f"'{backbone}': the recipe says what is built; write '{RANDOM}'.")
    if kind == RANDOM:
        return None
    return _torchvision_file(cfg) if str(backbone) == TORCHVISION else Path(backbone).expanduser()


def _torchvision_file(cfg: Config) -> Path:
    """Return torchvision's ImageNet weights of the config's ResNet from the local cache."""
    backbone = cfg.model.backbone
    return torchvision_file(backbone.get("depth") if backbone.type.endswith("ResNet") else None)
