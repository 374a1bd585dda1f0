"""What finds regions: one interface for what looks at the pixels and what reads labels."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dense_cl.regions.regions import ImageRegions
from dense_cl.sources.base import ImageSource


class RegionProvider(ABC):
    """Finds the regions of one image at a time. Cheap to pickle: every worker gets a copy."""

    @abstractmethod
    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Find the regions of an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            index: its place in the source; those that look at the image alone do not use it.
        """

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return all that the regions depend on beside the image, as plain JSON."""


class IndexedProvider(RegionProvider):
    """Finds regions by which image of a source it is shown, so it cannot serve a stream."""

    @abstractmethod
    def bind(self, source: ImageSource) -> None:
        """Learn what the images are, before the first of them is shown.

        Raises:
            DenseCLError: what is known is not about the images of this source.
        """
