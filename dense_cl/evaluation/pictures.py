"""Images as a backbone is shown them: read, cut out and resized, by index."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.labelled_images import central_square
from dense_cl.sources.base import ImageSource
from dense_cl.views.geometry import Size

Pixels = NDArray[np.uint8]


def whole(image: Pixels, size: Size) -> Pixels:
    """Resize all of the image (bilinear, antialiased), whatever its aspect ratio."""
    return _resize(image, size, Image.Resampling.BILINEAR)


def centre(image: Pixels, size: Size) -> Pixels:
    """Cut out the central square, 7/8 of the shorter side, and resize it."""
    return central_square(image, size[0])


def square(image: Pixels, size: Size) -> Pixels:
    """Cut out the largest central square and resize it (bicubic, antialiased).

    ``linear.py`` of linusericsson/ssl-transfer: the shorter side is resized, then the square cut.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    y, x = (height - side) // 2, (width - side) // 2
    return _resize(image[y : y + side, x : x + side], size, Image.Resampling.BICUBIC)


def stretched(image: Pixels, size: Size) -> Pixels:
    """Resize the image to a square 15 % larger, aspect ratio or not, and cut out its centre.

    ``datasets/few_shot_dataset.py`` of linusericsson/ssl-transfer, as in IBM/cdfsl-benchmark.
    """
    height, width = (int(side * 1.15) for side in size)
    larger = _resize(image, (height, width), Image.Resampling.BILINEAR)
    y, x = (height - size[0]) // 2, (width - size[1]) // 2
    return larger[y : y + size[0], x : x + size[1]]


PREPARATIONS: dict[str, Callable[[Pixels, Size], Pixels]] = {
    function.__name__: function for function in (whole, centre, square, stretched)
}


@dataclass(frozen=True)
class Pictures(Dataset[Tensor | DenseCLError]):
    """Images of a source, all of one size.

    Attributes:
        source: where they are read.
        preparation: name in ``PREPARATIONS``.
        size: (height, width).
    """

    source: ImageSource
    preparation: str
    size: Size

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Tensor | DenseCLError:
        """Return (H, W, 3) uint8 RGB; an error as a value, to pass a worker's border as it is."""
        try:
            image = self.source.load(index)
        except DenseCLError as error:
            return error
        prepared = PREPARATIONS[self.preparation](image, self.size)
        return torch.from_numpy(np.ascontiguousarray(prepared))

    def facts(self) -> dict[str, Any]:
        """Return all that decides the pictures, for caches."""
        return {
            "images": self.source.stamp(),
            "count": len(self),
            "preparation": self.preparation,
            "size": list(self.size),
        }


def _resize(image: Pixels, size: Size, filter: Image.Resampling) -> Pixels:
    return np.array(Image.fromarray(image).resize(size[::-1], filter))
