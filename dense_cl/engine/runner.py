"""MMEngine's Runner, started and resumed our way."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import barrier, is_distributed, master_only
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn
from torch.utils.data import IterableDataset

from dense_cl.engine import state
from dense_cl.engine.checkpoint import (
    FOLDER,
    POINTER,
    CorruptCheckpointError,
    find_checkpoints,
    load_checkpoint,
)
from dense_cl.engine.config import dump_recipe, is_recipe
from dense_cl.engine.launch import init_distributed
from dense_cl.engine.signals import StopSignals
from dense_cl.errors import DenseCLError, nearest
from dense_cl.models.learner import Learner
from dense_cl.registry import MODEL_WRAPPERS, RUNNERS

DEFAULT_HOOKS: dict[str, dict[str, Any]] = dict(
    runtime_info=dict(type="RuntimeInfoHook"),
    timer=dict(type="IterTimerHook"),
    quarantine=dict(type="QuarantineHook"),
    health=dict(type="HealthHook"),
    param_scheduler=dict(type="ParamSchedulerHook"),
    logger=dict(type="ProgressHook"),
    checkpoint=dict(type="SaveStateHook"),
    summary=dict(type="SummaryHook"),
)
# What cannot be dropped: others count on the time, and a run ends with a checkpoint.
NEEDED_HOOKS = ("runtime_info", "timer", "checkpoint")
# What a run writes as it goes on, beside logs.
RUN_FILES = (
    FOLDER, POINTER, "vis_data/scalars.json", "quarantine.jsonl", "summary.json", "backbone.pth",
    "backbone.safetensors", "config.py",
)  # fmt: skip
# All that is there of a run that did not get as far as its first checkpoint.
_BEGUN = {"scalars.json", "quarantine.jsonl"}
_RUNS = itertools.count()
_CHATTER = ("Hooks will be executed", "Distributed training is not used", "Exp name:")


@RUNNERS.register_module()
class PretrainRunner(Runner):
    """Runner of a pretraining recipe.

    What differs from MMEngine's: checkpoints are safe to load and exact to resume, from any
    iteration; gloo is used where there is no GPU; scalars of a resumed run go on in the same
    file, ``<work_dir>/vis_data/scalars.json``; default hooks are ours, and an entry of
    ``default_hooks`` without a ``type`` sets options of the default one.

    Attributes:
        signals: set by ``pretrain`` for the time of training.
        last_checkpoint: written or resumed from.
        saved_rng: generator states to begin training with.
        data_fingerprint: of the image source.
        region_fingerprints: of what regions and saliency are read from or found with.
    """

    _has_loaded: bool
    signals = StopSignals()
    last_checkpoint: Path | None = None
    quarantine: Any = None
    saved_rng: dict[str, Any] | None = None
    data_fingerprint = ""
    region_fingerprints: Mapping[str, str] = MappingProxyType({})

    @property
    def work_path(self) -> Path:
        """The work folder."""
        return Path(self.work_dir)

    @property
    def learner(self) -> Learner:
        """The model without its distributed wrapper."""
        return self.model.module if is_model_wrapper(self.model) else self.model

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        """Join the process group, on GPUs or not, and do the rest as MMEngine does."""
        if self.distributed and not is_distributed():
            # Not env_cfg: its default asks for NCCL, GPUs or not.
            options = self.cfg.get("env_cfg", {}).get("dist_cfg", {})
            init_distributed(self._launcher, **options)
        super().setup_env(env_cfg)
        # MMEngine keeps loggers and scalars by this name, and two runs of one process may begin
        # in the same second.
        run = next(_RUNS)
        self._timestamp += f"_{run}" if run else ""

    def build_logger(self, log_level: int | str = "INFO", **kwargs: Any) -> MMLogger:
        """Build MMEngine's logger without the lines that say nothing to a reader."""
        logger = super().build_logger(log_level=log_level, **kwargs)
        logger.addFilter(lambda record: not str(record.msg).startswith(_CHATTER))
        return logger

    def dump_config(self) -> None:
        """Leave the recipe of an earlier run where it is, until it is known to go on."""

    @master_only
    def _write_config(self) -> None:
        """Write the recipe as it is run to ``<work_dir>/config.py``."""
        dump_recipe(self.cfg, self.work_dir)

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Log what decides speed and results; the config is a file in the work folder."""
        found = " ".join(f"{name} {version}" for name, version in state.versions().items())
        self.logger.info(
            f"{found} | {get_device()}, {self.world_size} process(es), "
            f"{torch.get_num_threads()} thread(s), seed {self.seed}"
        )

    def build_visualizer(self, visualizer: Any = None) -> Visualizer:
        """Keep the scalars of all resumptions together, in the work folder itself."""
        if not isinstance(visualizer, Visualizer):
            visualizer = dict(visualizer or dict(type="Visualizer"))
            visualizer.setdefault("vis_backends", [dict(type="LocalVisBackend")])
            visualizer.setdefault("save_dir", self.work_dir)
        return super().build_visualizer(visualizer)

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Move the model to its device and, with several processes, wrap it for them."""
        model = model.to(get_device())
        if not self.distributed:
            return model
        wrapper = dict(type="DistributedLearner") | (model_wrapper_cfg or {})
        return MODEL_WRAPPERS.build(wrapper, default_args=dict(module=model))

    def register_default_hooks(self, hooks: dict[str, Hook | dict | None] | None = None) -> None:
        """Register ``DEFAULT_HOOKS`` with the recipe's changes; None drops one."""
        for name in hooks or {}:
            if name not in DEFAULT_HOOKS:
                raise DenseCLError(
                    f"default_hooks has no '{name}'.{nearest(name, DEFAULT_HOOKS)} Hooks of your "
                    "own go into custom_hooks."
                )
        for name, default in DEFAULT_HOOKS.items():
            hook = (hooks or {}).get(name, default)
            if hook is not None:
                typed = isinstance(hook, Hook) or "type" in hook
                self.register_hook(hook if typed else dict(default, **hook))

    def scale_lr(
        self, optim_wrapper: OptimWrapper, auto_scale_lr: dict[str, Any] | None = None
    ) -> None:
        """Scale learning rates by the images of an optimiser step over ``base_batch_size``.

        MMEngine leaves gradient accumulation out of the count.
        """
        if not auto_scale_lr or not auto_scale_lr.get("enable"):
            return
        images = batch_size(self) * optim_wrapper._accumulative_counts
        base = auto_scale_lr["base_batch_size"]
        for group in optim_wrapper.param_groups:
            group["lr"] *= images / base
        self.logger.info(f"learning rates times {images} / {base}: {images} images a step")

    def load_or_resume(self) -> None:
        """Resume (``resume``: 'auto', True or a path) or take weights (``load_from``)."""
        if self._has_loaded:
            return
        self._has_loaded = True
        source = getattr(self.train_dataloader.dataset, "source", None)
        self.data_fingerprint = source.fingerprint() if source is not None else ""
        accumulate = self.optim_wrapper._accumulative_counts
        self.learner.total_steps = self.max_iters // accumulate
        dataset = self.train_dataloader.dataset
        self.region_fingerprints = {
            kind: provider.identity()
            for kind, provider in getattr(dataset, "providers", {}).items()
        }
        streaming = isinstance(dataset, IterableDataset)
        self.learner.prepare(None if streaming else len(dataset), self.seed)
        if self._load_from and self._resume in (None, False, "auto"):
            # Before anything in the folder is touched; a resumed run has its own.
            state.load_weights(self, load_checkpoint(self._load_from), self._load_from)
            self.learner.step.zero_()  # schedules of the new run begin at their beginning
        if self._resume and not isinstance(self._resume, bool) and self._resume != "auto":
            path = Path(self._resume)
            checkpoint = load_checkpoint(path)
            if self.work_path.resolve() not in path.resolve().parents:
                self._start_afresh()  # whatever run is here, it is another one
            self._restore(checkpoint, path)
        elif self._resume is True and self._load_from:  # MMEngine's way to name the checkpoint
            path = Path(self._load_from)
            self._restore(load_checkpoint(path), path)
        elif self._resume:
            self._resume_latest()
        else:
            self._start_afresh()
        barrier()  # no process reads what the first one is moving
        if self._load_from and self.last_checkpoint is None:
            self.logger.info(f"weights from {self._load_from}")
        self._write_config()

    def _resume_latest(self) -> None:
        """Resume from the latest checkpoint that can be read; begin anew if there is none."""
        candidates = find_checkpoints(self.work_dir)
        for path in candidates:
            try:
                checkpoint = load_checkpoint(path)
            except CorruptCheckpointError as error:
                self.logger.warning(f"{error} Trying the one before it.")
                continue
            self._restore(checkpoint, path)
            return
        if candidates:
            raise DenseCLError(
                f"no checkpoint in {self.work_dir} can be read. Remove them to start again."
            )
        self.logger.info(f"no checkpoint in {self.work_dir} yet: starting from the beginning")
        self._start_afresh()

    @master_only
    def _start_afresh(self) -> None:
        """Keep what an earlier run left in this folder from being taken for ours."""
        named = [self.work_path / name for name in RUN_FILES]
        found = [path for path in named if path.exists() and not is_recipe(self.cfg, path)]
        if {path.name for path in found} <= _BEGUN:
            for path in found:
                path.unlink()
            return
        aside = self.work_path / f"before_{self.timestamp}"
        aside.mkdir(exist_ok=True)
        for path in found:
            path.rename(aside / path.name)
        self.logger.warning(f"{self.work_dir} held an earlier run; it is now in {aside}")

    def _restore(self, checkpoint: dict[str, Any], path: Path) -> None:
        state.restore(self, checkpoint, str(path))
        self._forget_scalars_after(self.iter)
        self.last_checkpoint = path
        self.logger.info(f"resumed from {path}: {self.iter} of {self.max_iters} iterations done")

    @master_only
    def _forget_scalars_after(self, iteration: int) -> None:
        """Drop what was logged after the checkpoint; it is about to be logged again."""
        path = self.work_path / "vis_data/scalars.json"
        if path.is_file():
            lines = path.read_text().splitlines(keepends=True)
            kept = [
                line for line in lines if line[-1] == "\n" and json.loads(line)["step"] <= iteration
            ]
            path.write_text("".join(kept))

    def restore_rng(self) -> None:
        """Set the generators to what they were; last, so that building things does not count."""
        if self.saved_rng is not None:
            state.restore_rng_state(self.saved_rng)
            self.saved_rng = None


def batch_size(runner: PretrainRunner) -> int:
    """Return the images of one iteration over all processes."""
    loader = runner.train_dataloader
    per_process = loader.batch_size or loader.batch_sampler.batch_size
    return per_process * runner.world_size
