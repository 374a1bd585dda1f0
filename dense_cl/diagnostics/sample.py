"""The images that the instruments look at: the same views of the same images every time."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.sources.selection import evenly_spread
from dense_cl.views.dataset import Unreadable, ViewDataset


def sample_views(
    dataset: ViewDataset, images: int, views: int = 2
) -> tuple[Tensor, tuple[int, ...]]:
    """Return views of images that are evenly spread over a data set.

    Of several view groups only the first counts (a multi-crop recipe's large crops). The views
    depend on the seed of the data set alone, and are none that training sees; no random generator
    is touched. Files that cannot be read are left out.

    Args:
        dataset: of images that are read by index.
        images: N, at most as many as there are.
        views: Q of each image.

    Returns:
        (N, Q, H, W, 3) uint8 RGB, and the indices of the images in the data set.

    Raises:
        DenseCLError: a stream, or fewer than two readable images.
    """
    if not isinstance(dataset, ViewDataset):
        raise DenseCLError(
            "the instruments take their images by index, which a stream does not have. Give them "
            "labelled images, or a folder of a few hundred images out of the shards."
        )
    total = len(dataset)
    chosen = evenly_spread(total, images)
    taken = [(index, list(_views(dataset, index, views))) for index in chosen]
    readable = [(index, arrays) for index, arrays in taken if arrays]
    if len(readable) < 2:
        raise DenseCLError(
            f"the instruments compare images and need two at least; of {len(chosen)} that were "
            f"asked for, {len(readable)} can be read."
        )
    stacked = np.stack([np.stack(arrays) for _, arrays in readable])
    return torch.from_numpy(stacked), tuple(index for index, _ in readable)


def _views(dataset: ViewDataset, index: int, count: int) -> Iterator[np.ndarray]:
    """Yield ``count`` views of an image, none if it cannot be read."""
    epoch = 0
    while count > 0:
        epoch -= 1  # training counts upwards
        sample = dataset[(epoch, index)]
        if isinstance(sample, Unreadable):
            return
        large = [v.image for v in sample.views if v.image.shape == sample.views[0].image.shape]
        yield from large[:count]
        count -= len(large)
