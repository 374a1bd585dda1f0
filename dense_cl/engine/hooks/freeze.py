"""Leave some parameters as they are, for some epochs or for the whole run."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook

from dense_cl.engine.runner import PretrainRunner
from dense_cl.errors import DenseCLError, nearest
from dense_cl.registry import HOOKS


@HOOKS.register_module()
class FreezeHook(Hook):
    """Keep parameters out of the optimiser's steps, bit for bit.

    Their gradients are dropped just before a step, so that neither weight decay nor momentum
    moves them, with any optimiser, and they start without momentum once they are free. EMA copies
    of them stay, too. What this does not touch: running statistics of batch norm, and the norm
    that ``clip_grad`` measures, in which their gradients count.

    Args:
        modules: beginnings of parameter names up to a dot or the end, such as
            'backbone.layer1' or 'objectives.byol.predictor'.
        epochs: how many epochs, from the first of the run; None for the whole run.

    Raises:
        DenseCLError: less than one epoch, or a name that no learnt parameter begins with.
    """

    decides_weights = True

    def __init__(self, modules: Sequence[str], epochs: int | None = None) -> None:
        if epochs is not None and epochs < 1:
            raise DenseCLError(f"FreezeHook: epochs={epochs}; give 1 or more, or None for ever.")
        self.modules = tuple(modules)
        self.epochs = epochs

    def before_train(self, runner: PretrainRunner) -> None:
        """Find the parameters and stand in the optimiser's way."""
        learnt = {n: p for n, p in runner.learner.named_parameters() if p.requires_grad}
        chosen = [
            {name for name in learnt if f"{name}.".startswith(f"{module}.")}
            for module in self.modules
        ]
        for module, names in zip(self.modules, chosen, strict=True):
            if not names:
                prefixes = {
                    n.rsplit(".", depth)[0] for n in learnt for depth in range(n.count("."))
                }
                raise DenseCLError(
                    f"FreezeHook: no learnt parameter's name begins with '{module}'."
                    f"{nearest(module, prefixes)}"
                )
        frozen = [learnt[name] for name in sorted(set().union(*chosen))]

        def drop_gradients(*_: Any) -> None:
            if self.epochs is None or runner.epoch < self.epochs:
                for parameter in frozen:
                    parameter.grad = None

        runner.optim_wrapper.optimizer.register_step_pre_hook(drop_gradients)
