"""Write checkpoints between iterations."""

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook

from dense_cl.engine.checkpoint import FOLDER, remove_old, save_checkpoint, write_pointer
from dense_cl.engine.runner import PretrainRunner
from dense_cl.engine.state import run_state
from dense_cl.errors import DenseCLError
from dense_cl.registry import HOOKS


@HOOKS.register_module()
class SaveStateHook(Hook):
    """Save ``<work_dir>/checkpoints/iter_N.pth`` regularly, at the end, and when asked to stop.

    The new file is complete on the disk, and ``last_checkpoint`` names it, before an old one
    goes. N counts completed iterations.

    Args:
        interval: epochs (or iterations) between checkpoints.
        by_epoch: the unit of ``interval``.
        keep: checkpoints to keep, at least 2, so that a damaged one has a predecessor.
    """

    priority = "VERY_LOW"

    def __init__(self, interval: int = 1, by_epoch: bool = True, keep: int = 2) -> None:
        if interval < 1 or keep < 2:
            raise DenseCLError(
                f"default_hooks.checkpoint: interval={interval} must be at least 1 and "
                f"keep={keep} at least 2."
            )
        self.interval, self.by_epoch, self.keep = interval, by_epoch, keep
        self._saved_period = 0

    def before_train(self, runner: PretrainRunner) -> None:
        """Count periods from where the run begins."""
        self._saved_period = self._period(runner)

    def at_rest(self, runner: PretrainRunner) -> None:
        """Save if a period has passed, at the end, and when the run is asked to stop."""
        period = self._period(runner)
        finished = runner.iter == runner.max_iters
        if period > self._saved_period or finished or runner.train_loop.stopping:
            self._saved_period = period
            self._save(runner)

    def _period(self, runner: PretrainRunner) -> int:
        return (runner.epoch if self.by_epoch else runner.iter) // self.interval

    def _save(self, runner: PretrainRunner) -> None:
        path = runner.work_path / FOLDER / f"iter_{runner.iter}.pth"
        bad = [
            name for name, value in runner.learner.named_parameters() if not value.isfinite().all()
        ]
        if bad:
            raise DenseCLError(
                f"iteration {runner.iter}: {len(bad)} parameters are NaN or infinite ({bad[0]}, "
                f"...), so no checkpoint is written. Last good one: {runner.last_checkpoint}. "
                "Lower optim_wrapper.optimizer.lr or set optim_wrapper.clip_grad."
            )
        state = run_state(runner)
        if is_main_process():
            try:
                save_checkpoint(state, path)
                write_pointer(runner.work_path, path)
            except OSError as error:
                raise DenseCLError(
                    f"checkpoint '{path}' cannot be written: {error.strerror}. Last good one: "
                    f"{runner.last_checkpoint}. Free some space and go on with --resume."
                ) from error
            remove_old(runner.work_path, self.keep)
        barrier()
        runner.last_checkpoint = path
