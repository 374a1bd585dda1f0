"""The training loop: one number, the iteration, is the whole position of a run."""

import contextlib
import itertools
import warnings
from collections.abc import Generator
from typing import Any

from mmengine.dist import all_gather_object
from mmengine.runner import BaseLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from dense_cl.engine.dataloader import build_dataloader
from dense_cl.engine.launch import agree
from dense_cl.engine.sampler import EpochSampler
from dense_cl.engine.signals import TrainingStopped
from dense_cl.errors import DenseCLError
from dense_cl.registry import LOOPS

# A contrast needs two images; batch norm, too.
_SMALLEST_BATCH = 2
# Seed offset of a further pass over the data than those of the epochs; no run has as many.
_EXTRA_PASS = 1 << 32


@LOOPS.register_module()
class PretrainLoop(BaseLoop):
    """Train for a number of epochs; can begin at any iteration.

    Hooks see MMEngine's points and two more:

    - ``on_unreadable(runner, items)``: (name, reason) of files that could not be read, the
      same list on every rank, before the iteration they are missing from;
    - ``at_rest(runner)``: after an iteration, and after the epoch it may have ended, when no
      gradients wait for an optimiser step. Nothing is half done, so state is saved here.

    Args:
        runner: the runner.
        dataloader: ``train_dataloader`` of the recipe, or a loader.
        max_epochs: epochs to train; exactly one of this and ``max_iters``.
        max_iters: iterations to train.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict[str, Any],
        max_epochs: int | None = None,
        max_iters: int | None = None,
    ) -> None:
        if (max_epochs is None) == (max_iters is None):
            raise DenseCLError("train_cfg needs max_epochs or max_iters, and not both.")
        for name, value in (("max_epochs", max_epochs), ("max_iters", max_iters)):
            if value is not None and value < 1:
                raise DenseCLError(f"train_cfg.{name} is {value}; give 1 or more.")
        if isinstance(dataloader, dict):
            dataloader = build_dataloader(**dataloader, seed=runner.seed)
        super().__init__(runner, dataloader)
        length = len(self.dataloader)
        if length == 0:
            raise DenseCLError(
                "train_dataloader: the data set does not fill one batch. Lower "
                "train_dataloader.batch_size or add images."
            )
        self.max_iters = max_iters if max_iters is not None else length * (max_epochs or 0)
        self.max_epochs = -(-self.max_iters // length)
        self.iter = self.epoch = self.skipped = 0
        self.stopping = 0

    def seek(self, iteration: int) -> None:
        """Begin at ``iteration``, with that many completed."""
        self.iter, self.epoch = iteration, iteration // len(self.dataloader)

    def run(self) -> nn.Module:
        """Train from ``iter`` to ``max_iters`` and return the model.

        Raises:
            TrainingStopped: ``runner.signals`` received one; the state has been saved.
        """
        runner = self.runner
        runner.call_hook("before_train")
        runner.restore_rng()
        runner.model.train()
        if self.iter == 0 and runner.learner.observed_views:
            self._observe()
        fresh_epoch = True
        with warnings.catch_warnings(), contextlib.closing(self._batches()) as batches:
            # The schedule goes by iterations, also while gradients are accumulated.
            warnings.filterwarnings("ignore", r"Detected call of `scheduler\.step\(\)` before")
            while self.iter < self.max_iters:
                if fresh_epoch:
                    runner.call_hook("before_train_epoch")
                if self.iter % len(self.dataloader) == 0:  # not in the middle, after a resume
                    runner.learner.before_epoch(self.epoch)
                skipped = self._run_iter(next(batches))
                fresh_epoch = self.iter % len(self.dataloader) == 0
                if fresh_epoch:
                    runner.call_hook("after_train_epoch")
                    self.epoch += 1
                (stop,) = agree(runner.signals.received)
                self.stopping = max(self.stopping, stop)
                # Accumulated gradients are not saved, so wait until they have been used.
                steps_every = runner.optim_wrapper._accumulative_counts
                if self.iter == self.max_iters or not (skipped or self.iter % steps_every):
                    runner.call_hook("at_rest")
                    if self.stopping:
                        raise TrainingStopped(self.stopping, str(runner.last_checkpoint))
        runner.call_hook("after_train")
        if 0 < self.skipped == self.max_iters:
            raise DenseCLError(
                f"nothing was trained: not one of {self.max_iters} batches had {_SMALLEST_BATCH}"
                " images. Raise train_dataloader.batch_size, or add images."
            )
        return runner.model

    def _observe(self) -> None:
        """Show the data set once to the objectives that want to see it before training.

        The order and the augmentations are those of no epoch. What is learnt from it is in the
        checkpoints, so a resumed run does not do it again.
        """
        runner, sampler = self.runner, self.dataloader.batch_sampler
        assert isinstance(sampler, EpochSampler), "objectives that observe refuse streams"
        runner.logger.info("looking once through the data before training")
        sampler.start = _EXTRA_PASS * len(self.dataloader)
        sampler.total = sampler.start + len(self.dataloader)
        with contextlib.closing(self._one_pass()) as batches:
            for batch in batches:
                (lack,) = agree(-len(batch["index"]))
                if -lack >= _SMALLEST_BATCH:
                    with runner.optim_wrapper.optim_context(runner.model):
                        runner.learner.observe(batch)

    def _run_iter(self, batch: dict[str, Any]) -> bool:
        """One iteration; say whether it was skipped because too many images were missing.

        All ranks skip alike, since a rank that stays out of an iteration leaves the others
        waiting for its gradients.
        """
        runner = self.runner
        unreadable = batch.pop("unreadable", [])
        missing, lack = agree(len(unreadable), -len(batch["index"]))
        if missing:
            gathered = all_gather_object(unreadable)
            runner.call_hook("on_unreadable", items=list(itertools.chain(*gathered)))
        position = self.iter % len(self.dataloader)
        runner.call_hook("before_train_iter", batch_idx=position, data_batch=batch)
        outputs: dict[str, Any] = {}
        skip = -lack < _SMALLEST_BATCH
        if skip:
            self.skipped += 1
            runner.optim_wrapper._inner_count += 1  # it counts iterations, and so do resumes
        else:
            outputs = runner.model.train_step(batch, optim_wrapper=runner.optim_wrapper)
        runner.call_hook("after_train_iter", batch_idx=position, data_batch=batch, outputs=outputs)
        self.iter += 1
        return skip

    def _batches(self) -> Generator[dict[str, Any], None, None]:
        """Yield the batches of iterations ``iter`` .. ``max_iters`` - 1."""
        sampler = self.dataloader.batch_sampler
        if isinstance(sampler, EpochSampler):
            sampler.start, sampler.total = self.iter, self.max_iters
            yield from self._one_pass()
            return
        # A stream cannot be entered in the middle: read up to the position and drop that.
        per_epoch = len(self.dataloader)
        skip = self.iter % per_epoch
        for epoch in itertools.count(self.epoch):
            with contextlib.closing(self._stream_epoch(epoch)) as batches:
                yield from itertools.islice(batches, skip, per_epoch)
            skip = 0

    def _stream_epoch(self, epoch: int) -> Generator[dict[str, Any], None, None]:
        """Yield batches without end; incomplete ones are dropped, so one pass may be too short."""
        for extra in itertools.count():
            self.dataloader.dataset.set_epoch(epoch + extra * _EXTRA_PASS)
            empty = True
            with contextlib.closing(self._one_pass()) as batches:
                for batch in batches:
                    empty = False
                    yield batch
            if empty:
                raise DenseCLError(
                    "train_dataloader: the stream does not fill one batch in any worker. Lower "
                    "batch_size or num_workers."
                )

    def _one_pass(self) -> Generator[dict[str, Any], None, None]:
        loader = iter(self.dataloader)
        try:
            yield from loader
        except DenseCLError as error:  # of a worker: torch puts its traceback before the message
            raise DenseCLError(str(error).split("DenseCLError: ")[-1].strip()) from None
        finally:
            # Workers must not outlive an error that is being shown.
            getattr(loader, "_shutdown_workers", lambda: None)()
