"""Superpixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dense_cl.regions.provider import RegionProvider, as_label_map, require, shrink
from dense_cl.regions.regions import ImageRegions
from dense_cl.registry import REGIONS


@REGIONS.register_module()
@dataclass(frozen=True)
class SLIC(RegionProvider):
    """Compact superpixels of about equal size: label map.

    Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", TPAMI
    2012; scikit-image's ``slic``.

    Attributes:
        segments: about how many.
        compactness: how much distance counts against difference of colour (in Lab).
        max_size: the image is reduced to so many pixels on its longer side first; None for never.
    """

    segments: int = 100
    compactness: float = 10.0
    max_size: int | None = 256

    def __post_init__(self) -> None:
        require(self.segments > 0 and self.compactness > 0, self, "numbers are positive")

    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Segment one image."""
        from skimage.segmentation import slic

        labels = slic(
            shrink(image, self.max_size),
            n_segments=self.segments,
            compactness=self.compactness,
            start_label=0,
            channel_axis=-1,
        )
        return ImageRegions(as_label_map(labels))
