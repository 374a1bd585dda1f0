"""Shuffling BN: keys are normalised with other images than their queries are."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dense_cl.models.distributed import concat_all_gather, gather_sizes, rank, world_size


@dataclass(frozen=True)
class BatchShuffle:
    """A permutation of the images of all ranks, the same on every rank.

    With per-process BatchNorm a query and its key share batch statistics, and the network can
    tell the pair by them. So the target encoder sees the images in another arrangement (He et
    al., arXiv 1911.05722, section 3.3; facebookresearch/moco ``moco/builder.py``). Every rank
    keeps its number of images. In one process it would change nothing and is the identity.

    Attributes:
        sizes: images of every rank.
        order: the permutation of all images; None in one process.
    """

    sizes: list[int]
    order: Tensor | None

    @classmethod
    def draw(cls, size: int, seed: int, device: torch.device) -> "BatchShuffle":
        """Draw the permutation of a step.

        Args:
            size: images on this rank.
            seed: the same on every rank, another at every step.
            device: where the images are.
        """
        sizes = gather_sizes(size, device)
        if world_size() == 1:
            return cls(sizes, None)
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(sum(sizes), generator=generator)
        return cls(sizes, order.to(device))

    def shuffle(self, images: Tensor) -> Tensor:
        """Return this rank's share of the permuted images, as many as it gave."""
        if self.order is None:
            return images
        return concat_all_gather(images, self.sizes)[self.order[self._mine]]

    def unshuffle(self, features: Tensor) -> Tensor:
        """Return the features of this rank's own images."""
        if self.order is None:
            return features
        return concat_all_gather(features, self.sizes)[self.order.argsort()[self._mine]]

    @property
    def _mine(self) -> slice:
        start = sum(self.sizes[: rank()])
        return slice(start, start + self.sizes[rank()])
