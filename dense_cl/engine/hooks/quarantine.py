"""Files that cannot be read: listed, counted, and too many of them stop the run."""

from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from dense_cl.engine.runner import PretrainRunner, batch_size
from dense_cl.registry import HOOKS
from dense_cl.sources.quarantine import Quarantine


@HOOKS.register_module()
class QuarantineHook(Hook):
    """Keep ``<work_dir>/quarantine.jsonl``; the batch simply goes on without these images.

    Args:
        limit: share of the data set that may be unreadable before the run stops.
    """

    def __init__(self, limit: float = 0.05) -> None:
        self.limit = limit

    def before_train(self, runner: PretrainRunner) -> None:
        """Open the list; a resumed run goes on with what it had found."""
        source = runner.train_dataloader.dataset.source
        self._stream = source.streaming
        path = runner.work_path / "quarantine.jsonl"
        total = None if self._stream else len(source)
        runner.quarantine = Quarantine(path, total, self.limit)

    def on_unreadable(self, runner: PretrainRunner, items: list[tuple[str, str]]) -> None:
        """List the files. All ranks get all of them, so all of them stop together."""
        for name, reason in items:
            before = runner.quarantine.count
            runner.quarantine.add(name, reason)
            if runner.quarantine.count > before and is_main_process():
                runner.logger.warning(
                    f"unreadable, {runner.quarantine.count} so far: {name} ({reason})"
                )

    def before_train_iter(
        self, runner: PretrainRunner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Count the images of a stream, whose total nobody knows."""
        if self._stream:
            runner.quarantine.seen(batch_size(runner))
