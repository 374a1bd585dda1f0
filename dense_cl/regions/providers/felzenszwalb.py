"""Graph-based segmentation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dense_cl.regions.provider import RegionProvider, as_label_map, require, shrink
from dense_cl.regions.regions import ImageRegions
from dense_cl.registry import REGIONS


@REGIONS.register_module()
@dataclass(frozen=True)
class Felzenszwalb(RegionProvider):
    """Regions of similar colour, of any shape and size: label map.

    Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004;
    scikit-image's ``felzenszwalb``. Scale and smallest region are those of DetCon (Hénaff et al.,
    ICCV 2021; google-deepmind/detcon, ``generate_fh_masks_for_imagenet.py``), which segments
    ImageNet's photos, mostly about 500 pixels long, as they are.

    Attributes:
        scale: the higher, the larger the regions.
        sigma: of the Gaussian that smooths the image first, in pixels.
        min_size: smallest region in pixels of the (reduced) image.
        max_size: the image is reduced to so many pixels on its longer side first; None for never.
            With smaller images go smaller ``min_size`` and ``scale``.
    """

    scale: float = 1000.0
    sigma: float = 0.8
    min_size: int = 1000
    max_size: int | None = 512

    def __post_init__(self) -> None:
        numbers = (self.scale, self.min_size, self.sigma + 1)
        require(min(numbers) > 0 and self.sigma >= 0, self, "scale and min_size are positive")

    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Segment one image."""
        labels = graph_segments(shrink(image, self.max_size), self.scale, self.sigma, self.min_size)
        return ImageRegions(as_label_map(labels))


def graph_segments(
    image: NDArray[np.uint8], scale: float, sigma: float, min_size: int
) -> NDArray[np.int64]:
    """Segment an (H, W, 3) image: (H, W) ids from 0 without gaps."""
    from skimage.segmentation import felzenszwalb

    return felzenszwalb(image, scale=scale, sigma=sigma, min_size=min_size, channel_axis=-1)
