"""Hooks of a fine-tuning run; both work in any MMDetection config."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from dense_cl.registry import HOOKS
from dense_cl.transfer.detector import load_detector_weights


@HOOKS.register_module()
class LoadBackbone(Hook):
    """Load pretrained weights, completely or not at all, once the model has been initialised.

    They are the backbone's, and those of the neck and the box head if the file brings them.

    In a plain MMDetection config: ``custom_imports = dict(imports=['dense_cl.transfer.hooks'])``
    and ``custom_hooks = [dict(type='dense_cl.LoadBackbone', file='backbone.pth')]``, with
    ``init_cfg=None`` in the backbone. Unlike ``init_cfg=dict(type='Pretrained')`` it never runs
    code from the file and never loads a part of it.

    Args:
        file: anything ``dense_cl.transfer.weights_file.read_weights`` accepts.
        backbone_only: leave the other parts out.
    """

    def __init__(self, file: str, backbone_only: bool = False) -> None:
        self.file = file
        self.backbone_only = backbone_only

    def before_train(self, runner: Runner) -> None:
        """Load, unless the run goes on from a checkpoint, which holds the weights already.

        Raises:
            DenseCLError: the file does not match the backbone or another part it brings.
        """
        if runner.iter == 0:
            model = runner.model.module if is_model_wrapper(runner.model) else runner.model
            load_detector_weights(model, self.file, self.backbone_only)


@HOOKS.register_module()
class WriteMetrics(Hook):
    """Write the latest validation result and what it belongs to as JSON, atomically.

    Args:
        path: the file.
        facts: what else to write: backbone, seed, label fraction, ...
    """

    def __init__(self, path: str, facts: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.facts = dict(facts)
        self.metrics: dict[str, float] = {}
        self._start = time.monotonic()

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Keep the result and replace the file."""
        found = {key.removeprefix("coco/"): value for key, value in (metrics or {}).items()}
        # pycocotools' -1 is an area without objects. CocoMetric says nothing at all when there is
        # not one detection; that is an AP of 0.
        measured = {key: value for key, value in found.items() if value >= 0}
        self.metrics = measured or {f"{kind}_mAP": 0.0 for kind in _kinds(runner)}
        self._write(iter=runner.iter, max_iters=runner.max_iters)

    @master_only
    def _write(self, **progress: int) -> None:
        seconds = round(time.monotonic() - self._start, 1)
        content = dict(metrics=self.metrics, **progress, seconds=seconds, **self.facts)
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(temporary, self.path)


def _kinds(runner: Runner) -> list[str]:
    """Return what is evaluated: 'bbox', 'segm'."""
    metric = runner.cfg.val_evaluator.get("metric", "bbox")
    return [metric] if isinstance(metric, str) else list(metric)
