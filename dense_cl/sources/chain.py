"""Several sources one behind the other."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dense_cl.sources.base import ImageSource


class Chain(ImageSource):
    """The images of all ``sources``, in their order."""

    def __init__(self, sources: Sequence[ImageSource]) -> None:
        self.sources = tuple(sources)
        self._ends = np.cumsum([len(source) for source in sources])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def name(self, index: int) -> str:
        """Return what its source calls the image."""
        source, place = self._find(index)
        return source.name(place)

    def load(self, index: int) -> NDArray[np.uint8]:
        """Return the image as (H, W, 3) uint8 RGB."""
        source, place = self._find(index)
        return source.load(place)

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits over the fingerprints of the sources."""
        text = " ".join(source.fingerprint() for source in self.sources)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def stamp(self) -> str:
        """Return 16 hexadecimal digits over the stamps of the sources."""
        text = " ".join(source.stamp() for source in self.sources)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _find(self, index: int) -> tuple[ImageSource, int]:
        number = int(np.searchsorted(self._ends, index, side="right"))
        begin = int(self._ends[number - 1]) if number else 0
        return self.sources[number], index - begin
