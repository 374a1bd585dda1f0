"""What finds salient pixels. To the rest of the library its objects are regions like any other."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dense_cl.regions.provider import RegionProvider, as_label_map, require
from dense_cl.regions.regions import ImageRegions
from dense_cl.regions.saliency.objects import ADAPTIVE, OTSU, salient_objects


@dataclass(frozen=True, kw_only=True)
class SaliencyProvider(RegionProvider):
    """Finds how salient each pixel is; its regions are the connected components of what is.

    Attributes:
        threshold: from which value on a pixel is salient: ``'otsu'``, ``'adaptive'`` (twice the
            mean) or a number in (0, 1).
        min_share: smallest component, as a share of the image.
        max_share: if more than this share of the image is salient, nothing is.
    """

    threshold: str | float = OTSU
    min_share: float = 0.01
    max_share: float = 0.9

    command: ClassVar[str] = "saliency"

    def __post_init__(self) -> None:
        named = self.threshold in (OTSU, ADAPTIVE)
        known = named or (not isinstance(self.threshold, str) and 0 < self.threshold < 1)
        require(known, self, f"threshold is '{OTSU}', '{ADAPTIVE}' or between 0 and 1")
        require(0 <= self.min_share < self.max_share <= 1, self, "0 <= min_share < max_share <= 1")

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
        return self.objects(self.saliency(image, index))

    def objects(self, saliency: NDArray[np.float32]) -> ImageRegions:
        """Number the objects of a map that ``saliency`` has returned: see ``salient_objects``."""
        labels = salient_objects(saliency, self.threshold, self.min_share, self.max_share)
        return ImageRegions(as_label_map(labels))


def stretched(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Bring values to [0, 1], the smallest to 0 and the largest to 1; all 0 if they are equal."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.zeros(values.shape, dtype=np.float32)
    return ((values - low) / (high - low)).astype(np.float32)
