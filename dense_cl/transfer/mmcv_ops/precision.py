"""Arithmetic in at least 32 bits: torchvision has no half-precision kernels on CPU."""

import torch
from torch import Tensor


def widen(tensor: Tensor) -> Tensor:
    """Return float16 and bfloat16 tensors as float32, others as they are, contiguous."""
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.float()
    return tensor.contiguous()
