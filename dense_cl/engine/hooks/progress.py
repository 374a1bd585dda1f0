"""Where the run is: a bar in a terminal, plain lines in the log, scalars for plots."""

import datetime
import sys
from collections.abc import Mapping
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from torch import Tensor

from dense_cl.engine.runner import PretrainRunner, batch_size
from dense_cl.errors import DenseCLError
from dense_cl.registry import HOOKS

_BAR_WIDTH = 24


@HOOKS.register_module()
class ProgressHook(Hook):
    """Log every ``interval`` iterations; between them only a terminal sees the bar move.

    Scalars go to the visualizer's backends (``vis_data/scalars.json`` by default): ``loss``,
    the terms of the ``Learner``, ``lr``, ``time`` and ``data_time`` in seconds,
    ``images_per_second`` over all processes, ``epoch`` and ``iter``. Losses and times are means
    over the interval, the rest is the latest value.

    Args:
        interval: iterations between two lines.
        bar: draw a bar; by default if standard error is a terminal.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, interval: int = 50, bar: bool | None = None) -> None:
        if interval < 1:
            raise DenseCLError(f"default_hooks.logger.interval is {interval}; give 1 or more.")
        self.interval = interval
        self.bar = sys.stderr.isatty() if bar is None else bar

    def before_train(self, runner: PretrainRunner) -> None:
        """Say what is about to happen."""
        loader = runner.train_dataloader
        runner.logger.info(
            f"training {runner.max_epochs} epochs of {len(loader)} iterations; "
            f"work folder {runner.work_dir}"
        )

    def after_train_iter(
        self,
        runner: PretrainRunner,
        batch_idx: int,
        data_batch: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Move the bar, and write a line when one is due."""
        if not is_main_process():
            return
        done = runner.iter + 1
        if done % self.interval == 0 or done == runner.max_iters:
            scalars = collect(runner, self.interval)
            runner.visualizer.add_scalars(scalars, step=done)
            self._clear()
            runner.logger.info(line(scalars, runner))
        elif self.bar:
            speed = collect(runner, self.interval)["images_per_second"]
            self._draw(bar(done, runner.max_iters, speed, eta(runner)))

    def after_train(self, runner: PretrainRunner) -> None:
        """Leave the terminal clean."""
        self._clear()

    def after_run(self, runner: PretrainRunner) -> None:
        """Let the backends write what they hold back."""
        runner.visualizer.close()

    def _draw(self, text: str) -> None:
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self.bar:
            self._draw("")


def collect(runner: PretrainRunner, window: int) -> dict[str, float]:
    """Return the scalars of the last ``window`` iterations."""
    scalars: dict[str, float] = dict(epoch=runner.epoch + 1, iter=runner.iter + 1)
    for key, history in runner.message_hub.log_scalars.items():
        name = key.removeprefix("train/")
        averaged = "loss" in name or "time" in name
        scalars[name] = float(history.mean(window) if averaged else history.current())
    scalars["images_per_second"] = batch_size(runner) / max(scalars["time"], 1e-9)
    return scalars


def line(scalars: Mapping[str, float], runner: PretrainRunner) -> str:
    """Return one readable line of the log."""
    aside = {"epoch", "iter", "lr", "base_lr", "time", "data_time", "images_per_second"}
    terms = "  ".join(f"{name} {value:.4g}" for name, value in scalars.items() if name not in aside)
    waiting = scalars["data_time"] / max(scalars["time"], 1e-9)
    return (
        f"epoch {scalars['epoch']:.0f}/{runner.max_epochs}  iter {scalars['iter']:.0f}/"
        f"{runner.max_iters}  lr {scalars['lr']:.3g}  {scalars['images_per_second']:.1f} images/s "
        f"({waiting:.0%} waiting for data)  eta {eta(runner)}  {terms}"
    )


def bar(done: int, total: int, images_per_second: float, remaining: str) -> str:
    """Return the progress bar as text."""
    filled = _BAR_WIDTH * done // total
    return (
        f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {done}/{total}  "
        f"{images_per_second:.1f} images/s  eta {remaining}"
    )


def eta(runner: PretrainRunner) -> str:
    """Return the time that is left as hours:minutes:seconds."""
    seconds = runner.message_hub.get_info("eta", 0)
    return str(datetime.timedelta(seconds=int(seconds)))
