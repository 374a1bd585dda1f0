"""The target (momentum, key) network: an exponential moving average of an online one."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dense_cl.errors import DenseCLError
from dense_cl.models.schedule import Schedule, check_schedule, schedule_value


class TargetNetwork(nn.Module):
    r"""A copy of ``online`` that follows it.

    :math:`\theta_t \leftarrow d\,\theta_t + (1 - d)\,\theta`, once per optimiser step. Only
    parameters are averaged (He et al., arXiv 1911.05722, equation 2). Buffers are the copy's
    own: its BatchNorm layers run in training mode on the keys and keep their own running
    statistics, as in facebookresearch/moco ``moco/builder.py``. All else runs as in evaluation,
    without dropout or stochastic depth: the authors' teachers have none
    (MkuuWaUjinga/leopart ``src/leopart.py`` builds its own without ``drop_path_rate``).

    The online module is referred to, not registered: it appears once in the state dict.

    Args:
        online: any module.
        ema_decay: d, a number in [0, 1] (0.99 = slow) or a schedule (see
            ``dense_cl.models.schedule``). None inside an objective: the ``Learner`` fills in the
            decay of its own target, so that heads and backbone move together.
    """

    def __init__(self, online: nn.Module, ema_decay: Schedule | None = None) -> None:
        super().__init__()
        if ema_decay is not None:
            check_schedule(ema_decay)
        self.ema_decay = ema_decay
        self.network = copy.deepcopy(online).requires_grad_(False)
        self._online = (online,)  # a tuple, so that nn.Module does not register it
        self.train(self.training)

    def train(self, mode: bool = True) -> "TargetNetwork":
        """Switch batch norm; all other modules of the copy run as in evaluation."""
        super().train(mode)
        for module in self.network.modules():
            if not isinstance(module, _BatchNorm):
                module.training = False
        return self

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the averaged network without gradients."""
        return self.network(*args, **kwargs)

    @torch.no_grad()
    def update(self, step: int, total_steps: int = 0) -> None:
        """Take one averaging step; call once per optimiser step, after it.

        Args:
            step: optimiser steps before this one (0 for the first), for the schedule.
            total_steps: optimiser steps of the whole run, 0 when unknown.

        Raises:
            DenseCLError: no ``ema_decay``.
        """
        if self.ema_decay is None:
            raise DenseCLError("a target network needs a decay: set target=dict(ema_decay=...).")
        decay = schedule_value(self.ema_decay, step, total_steps)
        averaged: list[Tensor] = list(self.network.parameters())
        online: list[Tensor] = list(self._online[0].parameters())
        if averaged:
            torch._foreach_lerp_(averaged, online, 1.0 - decay)
