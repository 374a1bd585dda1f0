"""What finds salient pixels. To the rest of the library its objects are regions like any other."""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from dense_cl.regions.provider import RegionProvider
from dense_cl.regions.regions import ImageRegions


class SaliencyProvider(RegionProvider):
    """Finds how salient each pixel is; its regions are the connected components of what is."""

    @abstractmethod
    def saliency(self, image: NDArray[np.uint8], index: int) -> NDArray[np.float32]:
        """Return (h, w) values in [0, 1] of the whole image, perhaps at a lower resolution.

        Args:
            image: (H, W, 3) uint8 RGB.
            index: its place in the source; those that look at the image alone do not use it.
        """

    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Return the objects as a label map, largest first; -1 is background.

        An image in which nothing is salient has no regions: its label map is -1 everywhere.
        """
        raise NotImplementedError
