"""LARS, the optimiser of large batches."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class LARS(torch.optim.Optimizer):
    r"""SGD with momentum whose step is scaled for every weight by its norm.

    :math:`g \leftarrow g + \lambda w`, :math:`g \leftarrow \eta \frac{\lVert w \rVert}{\lVert g
    \rVert} g` (unscaled if a norm is 0), :math:`b \leftarrow m b + g`, :math:`w \leftarrow w -
    \mathrm{lr} \, b` (You et al., arXiv 1708.03888). Biases and normalisation parameters, which
    are the tensors of one dimension, get neither decay nor scaling, as in
    facebookresearch/moco-v3 ``moco/optimizer.py``, facebookresearch/vicreg
    ``optimizers.py`` and facebookresearch/barlowtwins ``main.py``.
    (Other codes put the norm of the plain gradient and of the decay apart in the denominator.)

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        momentum: m.
        weight_decay: λ.
        trust_coefficient: η.
        bias_lr_mult: factor of ``lr`` for tensors of one dimension; Barlow Twins has 0.2 for
            weights and 0.0048 for these, so 0.024.

    Raises:
        DenseCLError: a negative ``lr``, ``momentum`` or ``weight_decay``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
        bias_lr_mult: float = 1.0,
    ) -> None:
        if min(lr, momentum, weight_decay) < 0:
            raise DenseCLError(
                f"LARS: lr={lr}, momentum={momentum}, weight_decay={weight_decay}; none may be"
                " negative."
            )
        defaults = dict(
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            trust_coefficient=trust_coefficient,
            bias_lr_mult=bias_lr_mult,
        )
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; parameters without a gradient stay."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        lr = group["lr"]
        if parameter.ndim > 1:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
            weight_norm, gradient_norm = parameter.norm(), gradient.norm()
            # On the device: reading the norms would wait for a GPU.
            ratio = group["trust_coefficient"] * weight_norm / gradient_norm
            usable = (weight_norm > 0) & (gradient_norm > 0)
            gradient = gradient * torch.where(usable, ratio, torch.ones_like(ratio))
        else:
            lr = lr * group["bias_lr_mult"]
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        parameter.add_(buffer, alpha=-lr)
