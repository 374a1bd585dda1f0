"""The learning rate of most recipes: linear from zero, then half a cosine."""

import math
from typing import Any

from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from dense_cl.errors import DenseCLError
from dense_cl.registry import PARAM_SCHEDULERS


def warmup_cosine(step: float, total: float, warmup: float = 0, end_ratio: float = 0.0) -> float:
    r"""Return the factor of the learning rate at ``step`` of ``total``.

    :math:`k / w` for step k below w, then :math:`e + (1 - e)(1 + \cos(\pi (k - w) / (K - w))) / 2`.
    That is the schedule of facebookresearch/moco-v3 ``main_moco.py`` (e = 0), facebookresearch/
    barlowtwins and vicreg ``main*.py`` (e = 0.001), BYOL (e = 0) and, without warm-up, of MoCo v2.

    Args:
        step: steps (or epochs) taken so far, k.
        total: K, in the same unit.
        warmup: w.
        end_ratio: e.
    """
    if step < warmup:
        return step / warmup
    progress = (step - warmup) / max(total - warmup, 1)
    return end_ratio + (1 - end_ratio) * (1 + math.cos(math.pi * progress)) / 2


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_ParamScheduler):
    """``warmup_cosine`` times the optimiser's rates, over the whole run.

    MMEngine's pair of ``LinearLR`` and ``CosineAnnealingLR`` cannot begin at zero and reaches the
    full rate a step early.

    Args:
        optimizer: the optimiser (wrapper).
        warmup: epochs, or iterations with ``by_epoch=False``.
        end_ratio: rate at the end as a part of the full one.
        by_epoch: the unit; with ``convert_to_iter_based=True`` in the recipe it is an epoch, but
            the rate changes every iteration.
        end: length of the run, which the engine fills in.
        **kwargs: of MMEngine's schedulers.

    Raises:
        DenseCLError: a warm-up that is negative or not shorter than the run.
    """

    def __init__(
        self,
        optimizer: Any,
        warmup: int = 0,
        end_ratio: float = 0.0,
        by_epoch: bool = True,
        end: int = INF,
        **kwargs: Any,
    ) -> None:
        if not 0 <= warmup < end:
            unit = "epochs" if by_epoch else "iterations"
            raise DenseCLError(
                f"param_scheduler: a warm-up of {warmup} {unit} does not fit into a run of {end};"
                " set param_scheduler.0.warmup."
            )
        self.warmup, self.end_ratio = warmup, end_ratio
        super().__init__(optimizer, "lr", by_epoch=by_epoch, end=end, **kwargs)

    @classmethod
    def build_iter_from_epoch(
        cls, optimizer: Any, *, epoch_length: int, end: int, warmup: int = 0, **kwargs: Any
    ) -> "WarmupCosineLR":
        """Build one that counts iterations from a config that counts epochs."""
        kwargs["by_epoch"] = False
        return cls(optimizer, warmup * epoch_length, end=end * epoch_length, **kwargs)

    def _get_value(self) -> list[float]:
        factor = warmup_cosine(self.last_step, self.end, self.warmup, self.end_ratio)
        return [factor * base for base in self.base_values]
