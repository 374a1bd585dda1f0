"""Photos and where their objects are."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dense_cl.evaluation.data_identity import identity

Image = NDArray[np.uint8]
Boxes = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ImageObjects:
    """The N objects of one photo.

    Attributes:
        image: (H, W, 3) RGB.
        boxes: (N, 4) x1, y1, x2, y2 in pixels, clipped to the image; N may be 0.
        masks: (N, H, W), or None where an object has only a box, or ``union`` is given.
        categories: N names; all "object" where the data have none.
        outside: boxes left out because nothing of them lies in the image.
        union: (H, W) pixels of all objects, where nobody needs their masks one by one: those of
            thousands of specks would take gigabytes.
    """

    image: Image
    boxes: Boxes
    masks: Mask | None
    categories: tuple[str, ...]
    outside: int = 0
    union: Mask | None = None

    @property
    def outlined(self) -> bool:
        """Whether ``region`` is that of masks."""
        return self.masks is not None or self.union is not None

    @property
    def region(self) -> Mask:
        """(H, W): the pixels of all objects, by their masks or else their boxes."""
        if self.union is not None:
            return self.union
        if self.masks is not None:
            return np.any(self.masks, axis=0)
        return box_region(self.boxes, self.size)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]


class AnnotatedImages(ABC):
    """Photos with objects, by index."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of photos."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Return the path of a photo below the folder of photos."""

    def identity(self) -> str:
        """Return 16 hexadecimal digits over the names of the photos and any files of labels."""
        return identity(map(self.name, range(len(self))))

    @abstractmethod
    def load(self, index: int) -> ImageObjects:
        """Read a photo and its objects.

        Raises:
            UnreadableImageError: the photo cannot be read.
            DenseCLError: its annotations are of another size.
        """


def box_region(boxes: Boxes, size: tuple[int, int]) -> Mask:
    """Return the (H, W) pixels whose centres lie in any of (N, 4) boxes."""
    height, width = size
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    across = (columns >= boxes[:, :1]) & (columns < boxes[:, 2:3])
    down = (rows >= boxes[:, 1:2]) & (rows < boxes[:, 3:])
    return np.any(down[:, :, None] & across[:, None, :], axis=0)
