"""Stop a run that went wrong, and say so when it looks as if it will."""

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from dense_cl.diagnostics.alarm import queue_warnings, readings, symptoms
from dense_cl.diagnostics.collapse import effective_rank, feature_std
from dense_cl.engine.runner import PretrainRunner
from dense_cl.errors import DenseCLError
from dense_cl.registry import HOOKS

# Leaving chance takes a contrast with a queue longer than collapse takes to show.
_CHANCE_FACTOR = 10
# Reading a value waits for the GPU.
_EVERY = 10


@HOOKS.register_module()
class HealthHook(Hook):
    """Refuse NaN and Inf before they reach the optimiser; warn of the known ways to fail.

    Backbone features and, where an objective has a ``head`` that gives one vector an image, its
    projections are watched: with a head between, features can look healthy long after all
    projections have become equal. Their spread is logged as ``<objective>_projection_std`` and
    ``<objective>_projection_rank``.

    An alarm is a warning in the log, and an entry of ``alarms`` in ``summary.json``. By default it
    comes within the first epoch of 70 iterations or more that its symptom lasts through; for a
    loss at chance, ten times grace and patience must pass.

    Args:
        grace: iterations at the start without alarms; features often draw together at first. By
            default half an epoch, between 50 and 500.
        patience: iterations over which a value is averaged before it is judged. By default a
            quarter of an epoch, between 20 and 200. An alarm is repeated after an epoch, or after
            ten times ``patience`` if that is longer.
    """

    priority = "HIGH"

    def __init__(self, grace: int | None = None, patience: int | None = None) -> None:
        self.grace, self.patience = grace, patience
        self._recent: dict[str, deque[float]] = {}
        self._told: dict[str, int] = {}

    def before_train(self, runner: PretrainRunner) -> None:
        """Watch the losses and the heads, and compare the queues with the data set."""
        learner = runner.learner
        epoch = len(runner.train_dataloader)
        self._grace = min(max(epoch // 2, 50), 500) if self.grace is None else self.grace
        self._patience = min(max(epoch // 4, 20), 200) if self.patience is None else self.patience
        self._repeat = max(epoch, 10 * self._patience)
        self._queues = {
            name: objective.num_negatives
            for name, objective in learner.named_objectives()
            if objective.num_negatives
        }
        for message in queue_warnings(self._queues, image_count(runner)):
            runner.logger.warning(message)
        self._alarms: list[dict[str, Any]] = []
        runner.message_hub.update_info("alarms", self._alarms)

        @torch.compiler.disable
        def check(module: nn.Module, inputs: Any, outputs: Any) -> None:
            if isinstance(outputs, Mapping):
                require_finite(outputs, runner)

        self._handles = [learner.register_forward_hook(check)]
        self._projections: dict[str, Tensor] = {}
        for name, objective in learner.named_objectives():
            head = getattr(objective, "head", None)
            if isinstance(head, nn.Module):
                self._watch(runner, f"{name}_projection", head)

    def _watch(self, runner: PretrainRunner, name: str, head: nn.Module) -> None:
        @torch.compiler.disable
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            due = module.training and runner.iter % _EVERY == 0
            if due and isinstance(output, Tensor) and output.dim() == 2:
                # The first call of an iteration is of plain views; a later one may be of masked
                # ones, for the attention.
                self._projections.setdefault(name, output.detach())

        self._handles.append(head.register_forward_hook(keep))

    def after_train(self, runner: PretrainRunner) -> None:
        """Leave the model as it was."""
        for handle in self._handles:
            handle.remove()

    def after_train_iter(
        self,
        runner: PretrainRunner,
        batch_idx: int,
        data_batch: Mapping[str, Any] | None = None,
        outputs: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Log the spread of the projections, and warn of symptoms that last."""
        if runner.iter % _EVERY or not outputs or data_batch is None:
            return
        terms = {name: float(value.detach()) for name, value in outputs.items()}
        channels = {"feature": runner.learner.backbone.out_channels[-1]}
        for name, projection_ND in self._projections.items():
            channels[name] = projection_ND.shape[1]
            spread = {
                f"{name}_std": float(feature_std(projection_ND)),
                f"{name}_rank": float(effective_rank(projection_ND)),
            }
            for key, value in spread.items():
                runner.message_hub.update_scalar(f"train/{key}", value)
            terms |= spread
        self._projections.clear()
        if "effective_rank" in terms:
            terms["feature_rank"] = terms.pop("effective_rank")
        for name, value in readings(terms, self._queues).items():
            window = self._factor(name) * self._patience // _EVERY + 1
            self._recent.setdefault(name, deque(maxlen=window)).append(value)
        means = {
            name: sum(recent) / len(recent)
            for name, recent in self._recent.items()
            if len(recent) == recent.maxlen and runner.iter >= self._factor(name) * self._grace
        }
        self._report(runner, symptoms(means, self._queues, channels, len(data_batch["index"])))

    @staticmethod
    def _factor(name: str) -> int:
        return 1 if name.endswith(("_std", "_rank")) else _CHANCE_FACTOR

    def _report(self, runner: PretrainRunner, found: Mapping[str, str]) -> None:
        now: int = runner.iter
        for name, message in found.items():
            if now - self._told.get(name, -math.inf) < self._repeat:
                continue
            self._told[name] = now
            runner.logger.warning(f"alarm at iteration {now + 1}: {message}")
            self._alarms.append(dict(iteration=now + 1, symptom=name, message=message))
            runner.message_hub.update_info("alarms", self._alarms)


def require_finite(terms: Mapping[str, Tensor], runner: PretrainRunner) -> None:
    """Raise before the backward pass of a loss that is NaN or infinite.

    Raises:
        DenseCLError: with the iteration, the terms and the last good checkpoint.
    """
    values = torch.stack([value.detach().float().mean() for value in terms.values()])
    if not values.isfinite().all():
        listed = ", ".join(
            f"{name} {value:.4g}" for name, value in zip(terms, values.tolist(), strict=True)
        )
        raise DenseCLError(
            f"iteration {runner.iter + 1}: the loss is not finite ({listed}). The weights have not "
            f"been touched by it. Last good checkpoint: {runner.last_checkpoint or 'none yet'}. "
            "Lower optim_wrapper.optimizer.lr, set optim_wrapper.clip_grad.max_norm=1.0, or "
            "try --no-amp."
        )


def image_count(runner: PretrainRunner) -> int:
    """Return the images of one epoch over all ranks."""
    source = runner.train_dataloader.dataset.source
    return source.epoch_size if source.streaming else len(source)
