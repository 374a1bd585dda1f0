"""Stop a run that went wrong, and say so when it looks as if it will."""

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from dense_cl.diagnostics.collapse import (
    chance_level,
    collapsed_feature_std,
    collapsed_rank,
    effective_rank,
    feature_std,
)
from dense_cl.engine.runner import PretrainRunner
from dense_cl.errors import DenseCLError
from dense_cl.models.memory_bank import MemoryBank
from dense_cl.registry import HOOKS

# "At chance" means within this of ln(K + 1); healthy runs are well below once they have begun.
_CHANCE_MARGIN = 0.02
# Leaving chance takes a contrast with a queue longer than collapse takes to show.
_CHANCE_FACTOR = 10
# Reading a value waits for the GPU.
_EVERY = 10

_COMPLETE = (
    "all images get the same {what} (complete collapse). Usual causes: no predictor, a missing "
    "stop-gradient, a target network without a slow ema_decay, or a learning rate that is too high."
)
_DIMENSIONAL = (
    "the {what} vary in hardly any direction (dimensional collapse). Usual causes: a missing "
    "stop-gradient or predictor behind a normalised head, a learning rate or weight decay that is "
    "too high, augmentations that are too strong, no normalisation in the head (norm='BN')."
)


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
        self._banks = {
            name: len(module.keys)
            for name, module in learner.named_modules()
            if isinstance(module, MemoryBank)
        }
        for message in queue_warnings(self._banks, image_count(runner)):
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
                self._projections[name] = output.detach()

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
            terms["feature_rank"] = terms["effective_rank"]
        for name, value in readings(terms, self._banks).items():
            window = self._factor(name) * self._patience // _EVERY + 1
            self._recent.setdefault(name, deque(maxlen=window)).append(value)
        means = {
            name: sum(recent) / len(recent)
            for name, recent in self._recent.items()
            if len(recent) == recent.maxlen and runner.iter >= self._factor(name) * self._grace
        }
        self._report(runner, symptoms(means, self._banks, channels, len(data_batch["index"])))

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


def readings(terms: Mapping[str, float], banks: Mapping[str, int]) -> dict[str, float]:
    """Return the values that are judged, out of the terms of one iteration.

    Args:
        terms: what the ``Learner`` returned, and ``<space>_std`` and ``<space>_rank`` of
            every space.
        banks: queue size by module name (``objectives.<objective>.bank``).

    Returns:
        The spreads as they are; the terms that have a queue as their distance from chance.
    """
    values = {name: value for name, value in terms.items() if name.endswith(("_std", "_rank"))}
    for name, size in _queues(terms, banks).items():
        values[name] = abs(terms[name] - chance_level(size))
    return values


def symptoms(
    means: Mapping[str, float], banks: Mapping[str, int], channels: Mapping[str, int], images: int
) -> dict[str, str]:
    """Return what looks wrong, a message by name.

    Args:
        means: of ``readings`` over some iterations.
        banks: queue size by module name.
        channels: dimension by space, ``feature`` (the backbone's) or ``<objective>_projection``.
        images: of the batch that the ranks were computed from.
    """
    found = {}
    for name, size in _queues(means, banks).items():
        if means[name] < _CHANCE_MARGIN:
            found[name] = (
                f"{name} sits at ln(K+1) = {chance_level(size):.3f}: the features tell nothing "
                "apart. Check the learning rate (too high or 0), the temperature and the "
                "augmentations."
            )
    for space, width in channels.items():
        what = f"{space.replace('_', ' ')}s"
        std, rank = means.get(f"{space}_std", math.inf), means.get(f"{space}_rank", math.inf)
        low_std, low_rank = collapsed_feature_std(width), collapsed_rank(images, width)
        if std < low_std:  # which brings the rank down, too
            found[f"{space}_std"] = (
                f"{space}_std is {std:.2e}, below {low_std:.2e}: {_COMPLETE.format(what=what)}"
            )
        elif rank < low_rank:
            found[f"{space}_rank"] = (
                f"the effective rank of the {what} of {images} images is {rank:.1f}, below "
                f"{low_rank:.1f}: {_DIMENSIONAL.format(what=what)}"
            )
    return found


def _queues(terms: Mapping[str, float], banks: Mapping[str, int]) -> dict[str, int]:
    """Queue size by the term that is a contrast with the queue."""
    named = {next((n for n in bank.split(".") if n in terms), ""): k for bank, k in banks.items()}
    return {name: size for name, size in named.items() if name}


def queue_warnings(banks: Mapping[str, int], images: int) -> list[str]:
    """Say which queues are longer than the data set."""
    return [
        f"the queue of {name} holds {size} keys and the data set only {images} images, so that "
        f"each image meets its own older views as negatives. Set its queue_size below {images}."
        for name, size in banks.items()
        if size > images
    ]


def image_count(runner: PretrainRunner) -> int:
    """Return the images of one epoch over all ranks."""
    source = runner.train_dataloader.dataset.source
    return source.epoch_size if source.streaming else len(source)
