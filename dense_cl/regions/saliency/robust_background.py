"""What is not connected with the border of the photo."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.distance import cdist

from dense_cl.regions.grouping import touching
from dense_cl.regions.provider import require, shrink
from dense_cl.regions.saliency.objects import as_levels, otsu_level
from dense_cl.regions.saliency.provider import SaliencyProvider, stretched
from dense_cl.registry import REGIONS

Array = NDArray[np.float64]
_SIGMA_COLOUR = 7.0  # of geodesic distances, in Lab
_SIGMA_NEIGHBOURS = 10.0  # of the smoothness term, in Lab
_SIGMA_POSITION = 0.4  # of the contrast, positions from 0 to 1
_SURE = 3.0  # boundary connectivity from which on a superpixel is background for sure
_SURE_WEIGHT = 1000.0
_BACKGROUND_WEIGHT = 5.0
_MU = 0.1  # a bond between neighbours however different


@REGIONS.register_module()
@dataclass(frozen=True)
class RobustBackground(SaliencyProvider):
    """Contrast to what is connected with the border, optimised over superpixels (wCtr*).

    Zhu et al., "Saliency Optimization from Robust Background Detection", CVPR 2014: a region is
    background if much of its outline, for its area, lies on the border of the photo; what contrasts
    with the background is foreground; a least-squares problem (equation 9) reconciles both with
    smoothness. On superpixels of scikit-image's ``slic``. Steps and constants are those of the
    authors' released MATLAB code, read in copies that other repositories hold (``EstimateBgProb``,
    ``CalWeightedContrast``, ``SaliencyOptimization``, ``EstimateDynamicParas``): weight 5 on the
    background term, 1000 where it is sure, weak foreground cut off by Otsu's threshold. For its
    image-dependent sigmas the fixed ones stand that its comments suggest, 7 and 10. Artificial
    frames around photos are not looked for.

    Attributes:
        pixels: of a superpixel, about.
        max_size: the image is reduced to so many pixels on its longer side first; None for never.
    """

    pixels: int = 600
    max_size: int | None = 400

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.pixels > 0, self, "pixels is positive")

    def saliency(self, image: NDArray[np.uint8], index: int) -> NDArray[np.float32]:
        """Return a map as large as the reduced image, even within a superpixel."""
        small = shrink(image, self.max_size)
        labels = superpixels(small, self.pixels)
        rgb = segment_means(labels, small)[None] / 255
        lab = cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2LAB)[0]
        return contrast_to_border(labels, cdist(lab, lab))


def superpixels(image: NDArray[np.uint8], pixels: int) -> NDArray[np.int64]:
    """Part an image into segments of about so many pixels: (H, W) ids from 0 without gaps."""
    from skimage.segmentation import slic

    count = max(4, round(image.shape[0] * image.shape[1] / pixels))
    labels = slic(image, n_segments=count, compactness=20, start_label=0, channel_axis=-1)
    return np.unique(labels, return_inverse=True)[1].reshape(image.shape[:2])


def segment_means(labels: NDArray[np.int64], values: NDArray[Any]) -> Array:
    """Average (H, W, C) values over each of R segments: (R, C)."""
    flat = labels.ravel()
    sums = [np.bincount(flat, plane.ravel()) for plane in np.moveaxis(values, 2, 0)]
    return np.stack(sums, axis=1) / np.bincount(flat)[:, None]


def contrast_to_border(labels: NDArray[np.int64], distance: Array) -> NDArray[np.float32]:
    """Saliency of segments, laid out as a map in [0, 1]: (H, W).

    Args:
        labels: (H, W) ids 0 .. R - 1.
        distance: (R, R) between the looks of segments, on the scale of colours in Lab.
    """
    if len(distance) < 2:  # an image without differences, or a tiny one
        return np.zeros(labels.shape, dtype=np.float32)
    height, width = labels.shape
    rows, columns = np.indices(labels.shape)
    position = segment_means(labels, np.stack([rows / height, columns / width], axis=2))
    adjacent = touching(labels)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    connectivity = boundary_connectivity(distance, adjacent, border)
    background = 1 - np.exp(-(connectivity**2) / 2)  # sigma 1
    near = _gaussian(cdist(position, position), _SIGMA_POSITION)
    contrast = stretched((distance * near) @ background)
    levels = as_levels(contrast)
    contrast = np.where(levels < otsu_level(levels), 0, contrast)

    smooth = np.where(_two_steps(adjacent, border), _gaussian(distance, _SIGMA_NEIGHBOURS), 0)
    smooth = smooth + _MU * adjacent
    weight = _BACKGROUND_WEIGHT * np.where(connectivity > _SURE, _SURE_WEIGHT, background)
    # Equation 9 set to zero: a weighted Laplacian, and the two terms that hold it.
    system = np.diag(smooth.sum(axis=1) + weight + contrast) - smooth
    return stretched(np.linalg.lstsq(system, contrast, rcond=None)[0])[labels]


def boundary_connectivity(
    distance: Array, adjacent: NDArray[np.bool_], border: NDArray[np.int64]
) -> Array:
    """Length along the border over the root of the area, both soft: (R,).

    Superpixels at the border count as neighbours of each other.
    """
    linked = adjacent.copy()
    linked[np.ix_(border, border)] = True
    np.fill_diagonal(linked, False)
    # Small differences are noise that would add up over long paths: they count as none.
    nearest = np.where(_two_steps(adjacent, border[:0]), distance, np.inf).min(axis=1)
    step = np.maximum(distance - nearest[np.isfinite(nearest)].mean(), 0)
    # Sparse, as csgraph takes a 0 in a dense matrix for no edge, and many steps cost nothing.
    ends = np.nonzero(linked)
    paths = dijkstra(csr_array((step[ends], ends), shape=step.shape), directed=False)
    share = _gaussian(paths, _SIGMA_COLOUR)
    return share[:, border].sum(axis=1) / np.sqrt(share.sum(axis=1))


def _two_steps(adjacent: NDArray[np.bool_], border: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Neighbours, theirs, and all at the border among themselves; nobody of itself."""
    steps = adjacent.astype(np.int64)
    near = (steps @ steps + steps) > 0
    near[np.ix_(border, border)] = True
    np.fill_diagonal(near, False)
    return near


def _gaussian(distance: Array, sigma: float) -> Array:
    """Weight 1 at no distance, none beyond three sigma."""
    return np.where(distance > 3 * sigma, 0, np.exp(-((distance / sigma) ** 2) / 2))
