"""Dense features of images, for providers that look through a backbone."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from dense_cl.errors import DenseCLError
from dense_cl.regions.provider import RegionProvider

_RANDOM = "random"


def require_weights(weights: str, provider: RegionProvider) -> None:
    """Refuse weights that are no file, unless they are ``random`` or ``random:ARCH``.

    Raises:
        DenseCLError: names the provider.
    """
    if not (_is_random(weights) or Path(weights).expanduser().is_file()):
        raise DenseCLError(
            f"regions {type(provider).__name__}: weights '{weights}' is not a file. Give the"
            f" backbone.pth of a pretraining run, or '{_RANDOM}' for an untrained one."
        )


def weights_identity(weights: str) -> str:
    """Return what stands for weights in the settings of a cache: SHA-256 of their file."""
    return weights if _is_random(weights) else _sha256(weights, _version(weights))


def cell_features(
    weights: str, image: NDArray[np.uint8], stage: int, provider: RegionProvider
) -> Tensor:
    """Return one feature map of an (H, W, 3) uint8 image: (C, h, w) float32 on the CPU.

    The backbone is loaded at the first image of each process, and kept while its file is the same.

    Args:
        weights: exported backbone; ``random`` and ``random:ARCH`` mean an untrained one (seed 0).
        image: RGB.
        stage: 0 for the shallowest map, -1 for the deepest.
        provider: for the message.

    Raises:
        DenseCLError: no such stage.
    """
    module = _backbone(weights, _version(weights), get_worker_info() is not None)
    maps = module.stages(torch.from_numpy(np.ascontiguousarray(image))[None])
    if not -len(maps) <= stage < len(maps):
        raise DenseCLError(
            f"regions {type(provider).__name__}: stage {stage} does not exist, the backbone has"
            f" {len(maps)}"
        )
    return maps[stage][0].float()


def _is_random(weights: str) -> bool:
    return weights.partition(":")[0] == _RANDOM


def _version(weights: str) -> tuple[int, ...]:
    """Return what changes when a file is written again."""
    if _is_random(weights):
        return ()
    found = Path(weights).expanduser().stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=1)
def _backbone(weights: str, version: tuple[int, ...], worker: bool) -> Any:
    # A worker does not take over what its parent has loaded, which may be on a GPU.
    # In the process that needs it, at its first image: modules are no load for every worker.
    from dense_cl.evaluation.frozen import FrozenBackbone

    return FrozenBackbone.load(weights)


@lru_cache(maxsize=4)
def _sha256(file: str, version: tuple[int, ...]) -> str:
    return hashlib.sha256(Path(file).expanduser().read_bytes()).hexdigest()
