"""OpenMMLab without compiled mmcv: mmcv's operators on torchvision when ``mmcv._ext`` is missing.

mmcv's Python code reaches its C++ and CUDA operators through one module, ``mmcv._ext``. When that
module cannot be imported, ``ensure`` puts ``extension`` in its place, before ``mmcv.ops`` looks for
it. Everything above stays mmcv's own: ``batched_nms``, ``RoIAlign``, ``DeformConv2dPack``...
"""

import importlib
import sys
from types import ModuleType
from typing import Literal

from dense_cl.errors import DenseCLError

__all__ = ["OPERATORS", "compiled_error", "ensure", "origin"]

_EXTENSION = "mmcv._ext"

# Operators of mmcv.ops that detectors use, and the functions of the extension they call.
OPERATORS: dict[str, tuple[str, ...]] = {
    "nms": ("nms",),
    "soft_nms": ("softnms",),
    "batched_nms": ("nms", "softnms"),
    "roi_align": ("roi_align_forward", "roi_align_backward"),
    "roi_pool": ("roi_pool_forward", "roi_pool_backward"),
    "deform_conv2d": (
        "deform_conv_forward",
        "deform_conv_backward_input",
        "deform_conv_backward_parameters",
    ),
    "modulated_deform_conv2d": (
        "modulated_deform_conv_forward",
        "modulated_deform_conv_backward",
    ),
    "sigmoid_focal_loss": ("sigmoid_focal_loss_forward", "sigmoid_focal_loss_backward"),
    "softmax_focal_loss": ("softmax_focal_loss_forward", "softmax_focal_loss_backward"),
    "nms_match": ("nms_match",),
    "nms_rotated": ("nms_rotated",),
    "carafe": ("carafe_forward", "carafe_backward"),
    "masked_conv2d": ("masked_im2col_forward", "masked_col2im_forward"),
    "ms_deform_attn": ("ms_deform_attn_forward", "ms_deform_attn_backward"),
}

# These look mmcv.ops up when they are imported and keep what they found, or a stub.
_BINDS_OPERATORS = (
    "mmcv.ops",
    "mmdet.models",
    "mmdet.structures",
    "mmdet.evaluation",
    "mmdet.apis",
    "mmseg.models",
)


def ensure() -> None:
    """Make ``mmcv.ops`` importable; call it before importing mmdet or mmseg. Idempotent.

    A compiled ``mmcv._ext`` is used when it can be imported, else the fallback is installed.

    Raises:
        DenseCLError: mmcv is missing, or it, mmdet or mmseg was imported without operators before.
    """
    if _EXTENSION in sys.modules:
        return
    reason = compiled_error()
    if reason is None:
        return
    early = sorted(name for name in sys.modules if name.startswith(_BINDS_OPERATORS))
    if early:
        raise DenseCLError(
            f"'{early[0]}' was imported before mmcv had operators ({reason}), and keeps pointing "
            "at nothing. Call dense_cl.transfer.mmcv_ops.ensure() before importing mmdet or mmseg."
        )
    sys.modules[_EXTENSION] = _fallback()


def origin(operator: str) -> Literal["compiled", "torchvision", "missing"]:
    """Say where an operator comes from on this machine.

    Args:
        operator: a name in ``mmcv.ops`` (``"roi_align"``) or in ``mmcv._ext``
            (``"roi_align_forward"``).

    Returns:
        ``"compiled"``: mmcv's own; ``"torchvision"``: this package's fallback; ``"missing"``:
        calling it raises.
    """
    functions = OPERATORS.get(operator, (operator,))
    fallback = _fallback()
    if compiled_error() is None and sys.modules[_EXTENSION] is not fallback:
        compiled = sys.modules[_EXTENSION]
        return "compiled" if all(hasattr(compiled, name) for name in functions) else "missing"
    return "torchvision" if all(name in vars(fallback) for name in functions) else "missing"


def compiled_error() -> str | None:
    """Return why mmcv's compiled extension cannot be used, or None when some extension is loaded.

    Raises:
        DenseCLError: mmcv itself cannot be imported.
    """
    try:
        importlib.import_module("mmcv")
    except ImportError as error:
        raise DenseCLError(
            f"mmcv cannot be imported ({error}). Install it with: pip install onedl-mmcv"
        ) from error
    try:
        importlib.import_module(_EXTENSION)
    except ImportError as error:  # also an extension built for another torch: undefined symbols
        return str(error)
    return None


def _fallback() -> ModuleType:
    return importlib.import_module("dense_cl.transfer.mmcv_ops.extension")
