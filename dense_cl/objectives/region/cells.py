"""What the objectives on the cells of a feature map have in common.

Their heads are called ``cell_head`` or ``region_head``: the ``head`` of an objective is taken for
one that maps the vector of an image, and exported and diagnosed as such.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from dense_cl.models.distributed import gather_sizes, rank


def rows_of(map_BCHW: Tensor) -> Tensor:
    """One row per cell, (B * H * W, C); not even a copy where the map is channels_last."""
    return map_BCHW.permute(0, 2, 3, 1).flatten(0, 2)


def on_cells(head: nn.Module, map_BCHW: Tensor) -> Tensor:
    """Apply a head of vectors to every cell of a map, (B, C, H, W) to (B, D, H, W)."""
    batch, _, height, width = map_BCHW.shape
    rows = head(rows_of(map_BCHW))
    return rows.unflatten(0, (batch, height, width)).permute(0, 3, 1, 2)


def image_draws(batch: int, shape: tuple[int, ...], seed: tuple[int, ...], like: Tensor) -> Tensor:
    """Random numbers in [0, 1) that belong to the images, not to the process they are in.

    The same for one process and several, and again after a resumed run has come to the same seed.
    Processes may ask for different numbers, if their first ones are to be the same.

    Args:
        batch: images of this process; may differ between processes.
        shape: of the numbers of one image; more leave the first ones as they are.
        seed: whole numbers, such as the run's seed and the step.
        like: a tensor on the device wanted.

    Returns:
        (batch, *shape) float32.
    """
    sizes = gather_sizes(batch, like.device)
    start = sum(sizes[: rank()])
    # Number by number, so that a process whose images have more of them draws the same first ones.
    total = math.prod(shape)
    numbers_RT = np.random.default_rng(seed).random((total, sum(sizes)), dtype=np.float32)
    mine_BR = torch.from_numpy(numbers_RT.T[start : start + batch].copy())
    return mine_BR.view(batch, *shape).to(like.device)
