"""Images that are in memory."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from dense_cl.sources.base import ImageSource


class ArraySource(ImageSource):
    """Images of one size in an array.

    Args:
        images_NHWC: uint8 RGB.
        title: what they are; messages call an image ``title/index``.
    """

    def __init__(self, images_NHWC: NDArray[np.uint8], title: str) -> None:
        self.images, self.title = images_NHWC, title

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Return the title and the index."""
        return f"{self.title}/{index}"

    def load(self, index: int) -> NDArray[np.uint8]:
        """Return the image as (H, W, 3) uint8 RGB."""
        return np.ascontiguousarray(self.images[index])

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits over all pixels."""
        digest = hashlib.sha256(str(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        return digest.hexdigest()[:16]
