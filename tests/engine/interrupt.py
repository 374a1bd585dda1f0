"""Stopping a run in the middle of an iteration, and comparing what two runs left."""

import os
import signal
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from dense_cl.engine.checkpoint import POINTER, load_checkpoint
from dense_cl.registry import HOOKS

SAVE_OFTEN = dict(default_hooks__checkpoint=dict(interval=1, by_epoch=False))


class PowerCut(Exception):
    """Stands for kill -9 within one process."""


@HOOKS.register_module()
class ActAtIteration(Hook):
    """Do something in the middle of an iteration, after the optimiser step."""

    def __init__(self, iteration: int, action: str) -> None:
        self.iteration, self.action = iteration, action

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if runner.iter == self.iteration and self.action == "cut":
            raise PowerCut
        if runner.iter == self.iteration:
            os.kill(os.getpid(), signal.SIGTERM)


def with_action(cfg: Config, iteration: int, action: str) -> Config:
    cfg.custom_hooks = [dict(type="ActAtIteration", iteration=iteration, action=action)]
    return cfg


def differences(first: Any, second: Any, path: str = "") -> list[str]:
    """Return the paths at which two checkpoints differ by a single bit."""
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [path]
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        return [d for key in first for d in differences(first[key], second[key], f"{path}.{key}")]
    if isinstance(first, list | tuple):
        assert len(first) == len(second), path
        pairs = enumerate(zip(first, second, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{path}.{i}")]
    return [] if first == second else [path]


def final_state(work_dir: Path) -> dict[str, Any]:
    content = load_checkpoint(work_dir / (work_dir / POINTER).read_text())
    del content["meta"]["config"]  # names the work folder
    return content
