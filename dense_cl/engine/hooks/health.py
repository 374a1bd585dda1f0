"""Stop a run that went wrong, and say so when it looks as if it will."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from dense_cl.diagnostics.collapse import chance_level, collapsed_feature_std
from dense_cl.engine.runner import PretrainRunner
from dense_cl.errors import DenseCLError
from dense_cl.registry import HOOKS

# "At chance" means within this of ln(K + 1); healthy runs are well below once they have begun.
_CHANCE_MARGIN = 0.02
# Features of one direction only; healthy ones have tens.
_COLLAPSED_RANK = 2.0
# Reading a value waits for the GPU.
_EVERY = 10


@HOOKS.register_module()
class HealthHook(Hook):
    """Refuse NaN and Inf before they reach the optimiser; warn of the known ways to fail.

    Args:
        grace: iterations at the start without alarms; features need time to leave chance.
        patience: iterations in a row that a symptom must last, and between two reminders.
    """

    priority = "HIGH"

    def __init__(self, grace: int = 500, patience: int = 200) -> None:
        self.grace, self.patience = grace, patience
        self._since: dict[str, int] = {}

    def before_train(self, runner: PretrainRunner) -> None:
        """Watch the losses, and compare the queues with the data set."""
        learner = runner.learner
        self._banks = {
            f"objectives.{name}.bank": objective.num_negatives
            for name, objective in learner.named_objectives()
            if objective.num_negatives
        }
        self._collapsed_std = collapsed_feature_std(learner.backbone.out_channels[-1])
        for message in queue_warnings(self._banks, image_count(runner)):
            runner.logger.warning(message)

        @torch.compiler.disable
        def check(module: nn.Module, inputs: Any, outputs: Any) -> None:
            if isinstance(outputs, Mapping):
                require_finite(outputs, runner)

        self._handle = learner.register_forward_hook(check)

    def after_train(self, runner: PretrainRunner) -> None:
        """Leave the model as it was."""
        self._handle.remove()

    def after_train_iter(
        self,
        runner: PretrainRunner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Warn of symptoms that last."""
        if runner.iter % _EVERY or runner.iter < self.grace or not outputs:
            return
        found = symptoms(
            {name: float(value.detach()) for name, value in outputs.items()},
            self._banks,
            self._collapsed_std,
        )
        iteration: int = runner.iter
        self._since = {name: self._since.get(name, iteration) for name in found}
        for name, message in found.items():
            if runner.iter - self._since[name] >= self.patience:
                self._since[name] = runner.iter
                runner.logger.warning(f"alarm at iteration {runner.iter + 1}: {message}")


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


def symptoms(
    terms: Mapping[str, float], banks: Mapping[str, int], collapsed_std: float
) -> dict[str, str]:
    """Return what looks wrong in the terms of one iteration, by name.

    Args:
        terms: what the ``Learner`` returned.
        banks: queue size by module name (``objectives.<objective>.bank``).
        collapsed_std: ``feature_std`` below which features count as collapsed.
    """
    found = {}
    for bank, size in banks.items():
        name = next((name for name in bank.split(".") if name in terms), None)
        chance = chance_level(size)
        if name is not None and abs(terms[name] - chance) < _CHANCE_MARGIN:
            found[name] = (
                f"{name} sits at ln(K+1) = {chance:.3f}: the features tell nothing apart. Check "
                "the learning rate (too high or 0), the temperature and the augmentations."
            )
    if terms.get("feature_std", 1.0) < collapsed_std:
        found["feature_std"] = (
            f"feature_std is {terms['feature_std']:.2e}, below {collapsed_std:.2e}: the features "
            "of all images point one way (collapse). Lower the learning rate or raise ema_decay."
        )
    if terms.get("effective_rank", _COLLAPSED_RANK) < _COLLAPSED_RANK:
        found["effective_rank"] = (
            f"effective_rank is {terms['effective_rank']:.2f}: the features of a batch span hardly "
            "more than one direction (collapse)."
        )
    return found


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
