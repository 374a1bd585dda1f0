"""Embeddings of cells of earlier batches."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.models.memory_bank import MemoryBank
from dense_cl.objectives.region.cells import image_draws


class CellQueue(MemoryBank):
    """A memory bank whose rows hold a cell of each of several views.

    Args:
        size: number of rows.
        num_views: A.
        channels: D, dimension of an embedding.
    """

    def __init__(self, size: int, num_views: int, channels: int) -> None:
        super().__init__(size, num_views * channels)
        self.num_views = num_views

    def cells(self, view: int) -> Tensor:
        """The embeddings of one view, (size, D)."""
        return self.keys.unflatten(1, (self.num_views, -1))[:, view]


def choose_cells(maps: Sequence[Tensor], number: int, seed: tuple[int, ...]) -> Tensor:
    """Choose cells at random, as many of each image, in each view for itself.

    Args:
        maps: (B, D, H, W) embeddings of A views.
        number: of cells per image; all of them if there are fewer.
        seed: see ``image_draws``.

    Returns:
        (B * number, A * D), image by image.

    Raises:
        DenseCLError: views of several sizes.
    """
    sizes = {tuple(view.shape[2:]) for view in maps}
    if len(sizes) > 1:
        raise DenseCLError(
            f"cells for the queue come from maps of one size, and the assigning views have"
            f" {sorted(sizes)}: lower num_assign_views to the large views, or set queue_size=0."
        )
    embedding_BASD = torch.stack([view.flatten(2).transpose(1, 2) for view in maps], dim=1)
    batch, views, cells, channels = embedding_BASD.shape
    draws_BAS = image_draws(batch, (views, cells), seed, embedding_BASD)
    chosen_BAN = draws_BAS.topk(min(number, cells), dim=2).indices
    chosen_BAND = chosen_BAN[..., None].expand(-1, -1, -1, channels)
    return embedding_BASD.gather(2, chosen_BAND).transpose(1, 2).flatten(2).flatten(0, 1)
