"""Mixed precision: which type this machine is fast with, and the optimiser wrapper for it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn

from dense_cl.registry import OPTIM_WRAPPERS

# Instruction sets with bfloat16 matrix products, as the Linux kernel names them.
_BF16_FLAGS = {"amx_bf16", "avx512_bf16"}


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """bfloat16 autocast on the CPU and on CUDA.

    bfloat16 has the range of float32, so no gradient scaler is needed; MMEngine's
    ``AmpOptimWrapper`` always has one and only runs on CUDA.

    Args:
        dtype: name of the torch type to compute in.
        **kwargs: of ``OptimWrapper``.
    """

    def __init__(self, dtype: str = "bfloat16", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dtype: torch.dtype = getattr(torch, dtype)

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Compute the forward pass under autocast."""
        device = torch.device(get_device()).type
        with super().optim_context(model), torch.autocast(device, dtype=self.dtype):
            yield


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (Linux; elsewhere: no)."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return False
    lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("flags"))
    return bool(_BF16_FLAGS & set(next(lines, "").split()))


def apply_amp(optim_wrapper: dict[str, Any], amp: bool | None) -> dict[str, Any]:
    """Return the optimiser wrapper config with mixed precision switched on or off.

    Args:
        optim_wrapper: the recipe's; a type other than ``OptimWrapper`` is the recipe's own
            choice and stays, unless ``amp`` is False.
        amp: True, False, or None for "where the hardware has it".
    """
    chosen = optim_wrapper.get("type", "OptimWrapper")
    if amp is False and chosen in ("AutocastOptimWrapper", "AmpOptimWrapper"):
        options = {k: v for k, v in optim_wrapper.items() if k not in ("dtype", "loss_scale")}
        return dict(options, type="OptimWrapper")
    if amp is False or chosen != "OptimWrapper":
        return dict(optim_wrapper)
    if torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return dict(optim_wrapper, type="AutocastOptimWrapper")
        return dict(optim_wrapper, type="AmpOptimWrapper", dtype="float16")
    if amp or cpu_has_bfloat16():
        return dict(optim_wrapper, type="AutocastOptimWrapper")
    return dict(optim_wrapper, type="OptimWrapper")
