"""Some images of another source, and which."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dense_cl.sources.base import ImageSource


class Selection(ImageSource):
    """The images of ``source`` at ``indices``, in that order.

    Args:
        source: any source with an index.
        indices: N indices into it.
    """

    def __init__(self, source: ImageSource, indices: Sequence[int] | NDArray[np.int64]) -> None:
        self.source, self.indices = source, np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def name(self, index: int) -> str:
        """Return what the source calls the image."""
        return self.source.name(int(self.indices[index]))

    def load(self, index: int) -> NDArray[np.uint8]:
        """Return the image as (H, W, 3) uint8 RGB."""
        return self.source.load(int(self.indices[index]))

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits over the source and the indices."""
        return self._with_indices(self.source.fingerprint())

    def stamp(self) -> str:
        """Return 16 hexadecimal digits over the stamp of the source and the indices."""
        return self._with_indices(self.source.stamp())

    def _with_indices(self, text: str) -> str:
        return hashlib.sha256(text.encode() + self.indices.tobytes()).hexdigest()[:16]


def evenly_spread(total: int, count: int) -> list[int]:
    """Return ``count`` of ``total`` places from the first to the last, all if there are fewer."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()
