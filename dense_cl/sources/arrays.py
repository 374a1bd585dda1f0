"""Images that are in memory."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.sources.base import ImageSource


class ArraySource(ImageSource):
    """Images of one size in an array.

    Args:
        images_NHWC: uint8 RGB.
        title: what they are; messages call an image ``title/index``.

    Raises:
        DenseCLError: another type or shape.
    """

    def __init__(self, images_NHWC: NDArray[np.uint8], title: str) -> None:
        if images_NHWC.dtype != np.uint8 or images_NHWC.shape[3:] != (3,):
            raise DenseCLError(
                f"an array of {images_NHWC.dtype} and shape {images_NHWC.shape} holds no images:"
                " they are uint8 RGB, (N, H, W, 3)."
            )
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
