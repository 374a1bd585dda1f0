"""What is not connected with the border of the photo."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.distance import cdist

from dense_cl.regions.grouping import touching
from dense_cl.regions.provider import require, shrink
from dense_cl.regions.saliency.objects import as_levels, otsu_level
from dense_cl.regions.saliency.provider import SaliencyProvider, stretched
from dense_cl.registry import REGIONS

Array = NDArray[np.float64]
_SIGMA_COLOUR = 7.0  # of geodesic distances, in Lab; authors' code: "we suggest geoSigma = 7"
_SIGMA_NEIGHBOURS = 10.0  # of the smoothness term, in Lab; likewise
_SIGMA_POSITION = 0.4  # of the contrast, positions from 0 to 1; the paper says 0.25
_SURE = 3.0  # boundary connectivity from which on a superpixel is background for sure
_SURE_WEIGHT = 1000.0
_BACKGROUND_WEIGHT = 5.0
_MU = 0.1


@REGIONS.register_module()
@dataclass(frozen=True)
class RobustBackground(SaliencyProvider):
    """Contrast to what is connected with the border, optimised over superpixels (wCtr*).

    Zhu et al., "Saliency Optimization from Robust Background Detection", CVPR 2014: a region is
    background if much of its outline, for its area, lies on the border of the photo (equations 3 to
    6); what contrasts with the background is foreground (7, 8); a least-squares problem reconciles
    both with smoothness (9). On superpixels of scikit-image's ``slic``. Constants where the authors'
    code departs from the paper are those of the code (copies read through a public code index, for
    example ``CalWeightedContrast.m``): weight 5 on the background term, 1000 where it is sure, and
    weak foreground cut off by Otsu's threshold. Its image-dependent sigmas are left out for the fixed
    ones it suggests, 7 and 10.

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
        from skimage.segmentation import slic

        small = shrink(image, self.max_size)
        count = max(4, round(small.shape[0] * small.shape[1] / self.pixels))
        labels = slic(small, n_segments=count, compactness=20, start_label=0, channel_axis=-1)
        labels = np.unique(labels, return_inverse=True)[1].reshape(small.shape[:2])
        if labels.max() < 1:  # an image without differences, or a tiny one
            return np.zeros(labels.shape, dtype=np.float32)
        return stretched(optimised(labels, small))[labels]


def optimised(labels: NDArray[np.int64], image: NDArray[np.uint8]) -> Array:
    """Saliency of each of R superpixels, (R,), not stretched.

    Args:
        labels: (H, W) ids 0 .. R - 1.
        image: (H, W, 3) uint8 RGB.
    """
    colour, position = _means(labels, image)
    adjacent = touching(labels)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    colour_distance = cdist(colour, colour)
    connectivity = boundary_connectivity(colour_distance, adjacent, border)
    background = 1 - np.exp(-(connectivity**2) / 2)  # equation 6, sigma 1
    near = _gaussian(cdist(position, position), _SIGMA_POSITION)
    contrast = stretched((colour_distance * near) @ background)
    levels = as_levels(contrast)
    contrast = np.where(levels < otsu_level(levels), 0, contrast)  # authors' code only

    smooth = np.where(
        _two_steps(adjacent, border), _gaussian(colour_distance, _SIGMA_NEIGHBOURS), 0
    )
    smooth = smooth + _MU * adjacent
    np.fill_diagonal(smooth, 0)
    weight = _BACKGROUND_WEIGHT * np.where(connectivity > _SURE, _SURE_WEIGHT, background)
    # Equation 9 set to zero: a weighted Laplacian, and the two terms that hold it.
    system = np.diag(smooth.sum(axis=1) + weight + contrast) - smooth
    return np.linalg.lstsq(system, contrast, rcond=None)[0]


def boundary_connectivity(
    colour_distance: Array, adjacent: NDArray[np.bool_], border: NDArray[np.int64]
) -> Array:
    """Length along the border over the root of the area, both soft (equations 3 to 5): (R,).

    Superpixels at the border count as neighbours of each other.
    """
    linked = adjacent.copy()
    linked[np.ix_(border, border)] = True
    np.fill_diagonal(linked, False)
    # Small differences are noise that would add up over long paths: they count as none.
    nearest = np.where(_two_steps(adjacent, border[:0]), colour_distance, np.inf).min(axis=1)
    step = np.maximum(colour_distance - nearest[np.isfinite(nearest)].mean(), 0)
    # csgraph takes a stored 0 for no edge, so that it is raised to the smallest length.
    paths = dijkstra(np.where(linked, np.maximum(step, 1e-9), 0), directed=False)
    share = _gaussian(paths, _SIGMA_COLOUR)
    return share[:, border].sum(axis=1) / np.sqrt(share.sum(axis=1))


def _means(labels: NDArray[np.int64], image: NDArray[np.uint8]) -> tuple[Array, Array]:
    """Mean colour of superpixels, in Lab, and mean position, both axes from 0 to 1."""
    size = np.bincount(labels.ravel())
    rows, columns = np.indices(labels.shape)
    planes = [*np.moveaxis(image, 2, 0), rows / labels.shape[0], columns / labels.shape[1]]
    means = np.stack([np.bincount(labels.ravel(), plane.ravel()) / size for plane in planes], 1)
    rgb = (means[None, :, :3] / 255).astype(np.float32)
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0].astype(np.float64), means[:, 3:]


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
