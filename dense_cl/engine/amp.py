"""Mixed precision: which type this machine is fast with, and the optimiser wrapper for it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from dense_cl.registry import OPTIM_WRAPPERS

# Instruction sets with bfloat16 matrix products, as the Linux kernel names them.
_BF16_FLAGS = {"amx_bf16", "avx512_bf16"}


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """bfloat16 autocast on the CPU and on CUDA.

    bfloat16 has the range of float32, so no gradient scaler is needed; MMEngine's
    ``AmpOptimWrapper`` always has one and only runs on CUDA.

    On the CPU, convolutions whose stride is larger than the map they see, as RetinaNet's last level
    has for images of 128 pixels, get their map padded: see ``pad_narrow_map``.

    Args:
        dtype: name of the torch type to compute in.
        **kwargs: of ``OptimWrapper``.
    """

    def __init__(self, dtype: str = "bfloat16", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dtype: torch.dtype = getattr(torch, dtype)
        self._guarded: nn.Module | None = None

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Compute the forward pass under autocast."""
        device = torch.device(get_device()).type
        if device == "cpu" and self._guarded is not model:
            for module in model.modules():
                if isinstance(module, nn.Conv2d) and max(module.stride) > 1:
                    module.register_forward_pre_hook(pad_narrow_map)
            self._guarded = model
        with super().optim_context(model), torch.autocast(device, dtype=self.dtype):
            yield


def pad_narrow_map(conv: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    """Pad the map of a convolution with zeros up to its stride, which changes no output.

    A forward pre-hook. In torch 2.12 the weight gradient that oneDNN computes in bfloat16 for a
    padded convolution with a stride wider than its map is partly uninitialised memory; clipped by
    its norm, the gradient of the whole network can then become zero.
    """
    assert isinstance(conv, nn.Conv2d) and not isinstance(conv.padding, str)
    height, width = args[0].shape[-2:]
    missing = (max(conv.stride[0] - height, 0), max(conv.stride[1] - width, 0))
    centred = all(k == 2 * p + 1 for k, p in zip(conv.kernel_size, conv.padding, strict=True))
    if missing == (0, 0) or not centred or conv.dilation != (1, 1):
        return None
    return (F.pad(args[0], (0, missing[1], 0, missing[0])), *args[1:])


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
