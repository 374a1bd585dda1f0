"""Means over the images of all processes where some of them do not count."""

import torch
from torch import Tensor

from dense_cl.models.distributed import concat_all_gather, world_size


@torch.no_grad()
def process_share(weight: Tensor) -> Tensor:
    """Return what to multiply this process's weighted mean with, so that no process is favoured.

    DistributedDataParallel averages over processes. When their means are over different weights,
    the mean of the whole batch is that of the local means times
    ``weight * processes / (sum of all weights)``.

    Args:
        weight: scalar, what the local mean was divided by.

    Returns:
        A scalar; exactly 1 in one process, 0 where every weight is 0.
    """
    if world_size() == 1:
        return torch.ones_like(weight)
    total = concat_all_gather(weight[None], [1] * world_size()).sum()
    return weight * world_size() / total.clamp_min(torch.finfo(weight.dtype).tiny)
