"""What stands in for ``mmcv._ext``: the operators that have a fallback, and errors for the others.

mmcv asks the extension for every operator it knows when ``mmcv.ops`` is imported, so any name is
answered; an operator without a fallback raises when it is called.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import torchvision

from dense_cl.errors import DenseCLError
from dense_cl.transfer.mmcv_ops.deform_conv import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from dense_cl.transfer.mmcv_ops.focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
)
from dense_cl.transfer.mmcv_ops.nms import nms, softnms
from dense_cl.transfer.mmcv_ops.roi_align import roi_align_backward, roi_align_forward
from dense_cl.transfer.mmcv_ops.roi_pool import roi_pool_backward, roi_pool_forward

__all__ = [
    "deform_conv_backward_input",
    "deform_conv_backward_parameters",
    "deform_conv_forward",
    "get_compiler_version",
    "get_compiling_cuda_version",
    "modulated_deform_conv_backward",
    "modulated_deform_conv_forward",
    "nms",
    "roi_align_backward",
    "roi_align_forward",
    "roi_pool_backward",
    "roi_pool_forward",
    "sigmoid_focal_loss_backward",
    "sigmoid_focal_loss_forward",
    "softnms",
]

# Outside an isolated build mmcv sees torch and compiles; a cached wheel would have no operators.
COMPILE = (
    "pip install 'setuptools>=80,<82' wheel packaging ninja && "
    "pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation onedl-mmcv"
)


def get_compiler_version() -> str:
    """Answer mmcv's report of the environment, which MMDetection logs at every start."""
    return f"none (dense_cl's fallback on torchvision {torchvision.__version__})"


def get_compiling_cuda_version() -> str:
    """Answer mmcv's report of the environment."""
    return "none"


def __getattr__(name: str) -> Callable[..., NoReturn]:
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*args: Any, **kwargs: Any) -> NoReturn:
        raise DenseCLError(
            f"mmcv's operator '{name}' has no fallback on torchvision: it needs mmcv with compiled "
            f"operators. With a C++ compiler (and nvcc for CUDA) installed, run: {COMPILE}"
        )

    missing.__name__ = name
    return missing
