"""Weight decay of matrices and kernels alone."""

from typing import Any

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from dense_cl.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class NoVectorDecay(DefaultOptimWrapperConstructor):
    """Gives tensors of one dimension, which are biases and parameters of norms, no weight decay.

    Whatever key of ``custom_keys`` they match; MMEngine's own constructor lets such a key switch
    off ``norm_decay_mult``, ``bias_decay_mult`` and the like.

    Args:
        optim_wrapper_cfg: with the optimiser.
        paramwise_cfg: as of ``DefaultOptimWrapperConstructor``.
    """

    def __init__(
        self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None
    ) -> None:
        # Not empty, or parameters would not be looked at one by one.
        super().__init__(optim_wrapper_cfg, {"custom_keys": {}, **(paramwise_cfg or {})})

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = "",
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add a group for each parameter of a module and those in it."""
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix:  # of a module in the model, for which this method calls itself
            return
        vectors = [group for group in params if group["params"][0].ndim == 1]
        for group in vectors:
            group["weight_decay"] = 0.0
        print_log(f"no weight decay: {len(vectors)} tensors of one dimension", logger="current")
