"""``summary.json``: what a run did, for people and scripts."""

import json
import time

import torch
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from dense_cl.engine.hooks.progress import collect
from dense_cl.engine.runner import PretrainRunner, batch_size
from dense_cl.engine.state import describe
from dense_cl.registry import HOOKS


@HOOKS.register_module()
class SummaryHook(Hook):
    """Write ``<work_dir>/summary.json`` at the end.

    Wall time, images/s and alarms are those of the last process to work on the run; everything
    else is about the whole run.

    Args:
        window: iterations over which the final losses are averaged.
    """

    priority = "LOWEST"

    def __init__(self, window: int = 50) -> None:
        self.window = window

    def before_train(self, runner: PretrainRunner) -> None:
        """Start the clock."""
        self._began, self._first = time.perf_counter(), runner.iter

    def after_train(self, runner: PretrainRunner) -> None:
        """Write the file."""
        done = runner.iter - self._first
        if not is_main_process() or done == 0:
            return
        seconds = time.perf_counter() - self._began
        meta = describe(runner)
        terms = collect(runner, self.window)
        summary = dict(
            iterations=runner.iter,
            epochs=runner.epoch,
            resumed_at=self._first,
            skipped_iterations=runner.train_loop.skipped,
            alarms=runner.message_hub.get_info("alarms", []),
            quarantined=runner.quarantine.count if runner.quarantine else 0,
            wall_seconds=round(seconds, 3),
            images_per_second=round(done * batch_size(runner) / seconds, 2),
            final={name: value for name, value in terms.items() if name not in ("epoch", "iter")},
            device=torch.cuda.get_device_name() if torch.cuda.is_available() else get_device(),
            processes=runner.world_size,
            threads=torch.get_num_threads(),
            optim_wrapper=type(runner.optim_wrapper).__name__,
            checkpoint=str(runner.last_checkpoint),
            **{
                key: meta[key]
                for key in ("method", "config_hash", "data_fingerprint", "versions", "seed")
            },
        )
        text = json.dumps(summary, indent=2) + "\n"
        (runner.work_path / "summary.json").write_text(text, encoding="utf-8")
