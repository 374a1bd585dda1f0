"""Keep the learning rate of some modules while the schedule lowers the others'."""

from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook

from dense_cl.engine.runner import PretrainRunner
from dense_cl.errors import DenseCLError
from dense_cl.registry import HOOKS


@HOOKS.register_module()
class FixedLRHook(Hook):
    """Hold the initial learning rate of modules, such as SimSiam's predictor.

    Chen and He, arXiv 2011.10566, and ``--fix-pred-lr`` of
    facebookresearch/simsiam ``main_simsiam.py``. The parameters need groups of their own in the
    optimiser, which ``optim_wrapper.paramwise_cfg`` gives them.

    Args:
        modules: names of modules, as they stand between the dots of parameter names.

    Raises:
        DenseCLError: no parameter is under such a module, or one shares a group with others.
    """

    decides_weights = True

    def __init__(self, modules: Sequence[str]) -> None:
        self.modules = set(modules)

    def before_train(self, runner: PretrainRunner) -> None:
        """Find the groups."""
        fixed = {
            id(parameter)
            for name, parameter in runner.learner.named_parameters()
            if self.modules & set(name.split("."))
        }
        if not fixed:
            raise DenseCLError(
                f"FixedLRHook: no parameter belongs to a module named {sorted(self.modules)}."
            )
        self._groups = []
        for group in runner.optim_wrapper.optimizer.param_groups:
            inside = [id(parameter) in fixed for parameter in group["params"]]
            if any(inside) and not all(inside):
                raise DenseCLError(
                    "FixedLRHook: the optimiser has these parameters in one group with others. Set"
                    " optim_wrapper.paramwise_cfg=dict(custom_keys={'.predictor.':"
                    " dict(lr_mult=1.0)}), with the name of the module."
                )
            if any(inside):
                self._groups.append(group)

    def before_train_iter(
        self, runner: PretrainRunner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Undo what the schedule did."""
        for group in self._groups:
            group["lr"] = group.get("initial_lr", group["lr"])
