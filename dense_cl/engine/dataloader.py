"""The training loader: (epoch, index) batches into workers that hold no state."""

from typing import Any

import torch
from mmengine.dist import get_dist_info
from torch.utils.data import DataLoader, IterableDataset

from dense_cl.engine.sampler import EpochSampler
from dense_cl.engine.signals import leave_signals_to_parent
from dense_cl.registry import DATASETS


def build_dataloader(
    dataset: dict[str, Any],
    batch_size: int,
    num_workers: int = 0,
    drop_last: bool = True,
    prefetch_factor: int | None = None,
    pin_memory: bool | None = None,
    seed: int = 0,
) -> DataLoader:
    """Build the loader that ``train_dataloader`` of a recipe describes.

    Args:
        dataset: config of a ``ViewDataset``.
        batch_size: images per process and iteration.
        num_workers: data processes; 0 loads in the training process. No influence on results.
        drop_last: see ``EpochSampler``.
        prefetch_factor: batches each worker prepares ahead.
        pin_memory: page-locked batches; by default where there is a GPU to copy them to.
        seed: of the run; orders and augmentations derive from it.
    """
    from dense_cl.views.collate import collate_views  # pulls in albumentations

    data = DATASETS.build(dict(dataset, seed=seed))
    rank, world_size = get_dist_info()
    options: dict[str, Any] = dict(
        num_workers=num_workers,
        prefetch_factor=prefetch_factor,
        pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
        collate_fn=collate_views,
        worker_init_fn=leave_signals_to_parent,
        # The loader draws a seed for its workers; drawn from the global generator, a resumed
        # run would be one draw ahead of an undisturbed one.
        generator=torch.Generator().manual_seed(seed),
    )
    if isinstance(data, IterableDataset):
        return DataLoader(data, batch_size=batch_size, drop_last=drop_last, **options)
    sampler = EpochSampler(len(data), batch_size, seed, rank, world_size, drop_last)
    return DataLoader(data, batch_sampler=sampler, **options)
