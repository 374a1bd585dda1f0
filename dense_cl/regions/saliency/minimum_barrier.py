"""What cannot be reached from the border without crossing an edge."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dense_cl.regions.provider import require, shrink
from dense_cl.regions.saliency.provider import SaliencyProvider, stretched
from dense_cl.registry import REGIONS

Array = NDArray[np.float32]


@REGIONS.register_module()
@dataclass(frozen=True)
class MinimumBarrier(SaliencyProvider):
    """Distance to the border of the photo, counted in changes of colour: MB+.

    Zhang et al., "Minimum Barrier Salient Object Detection at 80 FPS", ICCV 2015, with the
    constants of the authors' code (``getParam.m``, ``doMBS.m`` and ``BG.m``, read in
    dut-media-lab/Image-Stitching ``MBS/``): the minimum barrier distance in Lab, plus how little a
    pixel's colour is like those of the border's four sides, times a centre prior (1 in the middle,
    falling linearly to 0 in the corners), smoothed by morphological reconstruction, its contrast
    raised.

    The paper scans in raster order, where a pixel looks above and to the left (below and to the
    right on the way back). Here four sweeps take one neighbour each, a whole row or column at a
    time, which numpy does fast; every value is again the barrier of a real path. Artificial frames
    around photos are not looked for.

    Attributes:
        max_size: the image is reduced to so many pixels on its longer side first; None for never.
        passes: rounds over the image, each in all four directions.
        backgroundness: add the colours of the border (MB+ rather than MB).
        centre: multiply by the centre prior.
    """

    max_size: int | None = 300
    passes: int = 3
    backgroundness: bool = True
    centre: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.passes > 0, self, "passes is positive")

    def saliency(self, image: NDArray[np.uint8], index: int) -> Array:
        """Return a map as large as the reduced image."""
        small = shrink(image, self.max_size)
        lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
        found = stretched(barrier_distance(lab, self.passes).sum(axis=2))
        if self.backgroundness:
            found = stretched(found + backgroundness(lab))
        if self.centre:
            found = stretched(found * centre_prior(*found.shape))
        return contrasted(smoothed(found))


def barrier_distance(channels: Array, passes: int) -> Array:
    """Smallest barrier of a path to the border, for every pixel of every channel: (H, W, C).

    The barrier of a path is its largest value less its smallest.
    """
    lowest, highest = channels.copy(), channels.copy()
    distance = np.full_like(channels, np.inf)
    distance[[0, -1]] = distance[:, [0, -1]] = 0
    state = np.stack([channels, lowest, highest, distance])
    turned = state.transpose(0, 2, 1, 3)  # the same memory, columns for rows
    for _ in range(passes):
        for step in (1, -1):
            _sweep(state, step)
            _sweep(turned, step)
    return state[3]


def _sweep(state: Array, step: int) -> None:
    """Let every row, first to last (step 1) or last to first, take the paths of the one before."""
    channels, lowest, highest, distance = state
    rows = range(len(channels))[::step]
    for before, row in zip(rows[:-1], rows[1:], strict=True):
        low = np.minimum(lowest[before], channels[row])
        high = np.maximum(highest[before], channels[row])
        # A row that no path has reached yet offers a barrier, but no way to the border.
        barrier = np.where(np.isinf(distance[before]), np.inf, high - low)
        better = barrier < distance[row]
        np.copyto(distance[row], barrier, where=better)
        np.copyto(lowest[row], low, where=better)
        np.copyto(highest[row], high, where=better)


def backgroundness(lab: Array, margin: float = 0.1, ridge: float = 50.0) -> Array:
    """How far each colour is from those of the border's four sides, without the farthest: (H, W).

    Args:
        lab: (H, W, 3) with values up to 255.
        margin: width of a side, as a share of the image.
        ridge: added to the variances of a side's colours.
    """
    rows, columns = (max(1, round(margin * size)) for size in lab.shape[:2])
    sides = (lab[:rows], lab[-rows:], lab[:, :columns], lab[:, -columns:])
    distances = []
    for side in sides:
        colours = side.reshape(-1, 3).astype(np.float64)
        covariance = np.cov(colours.T, ddof=min(1, len(colours) - 1))
        variance, axes = np.linalg.eigh(covariance + ridge * np.eye(3))
        # Sum of absolute coordinates, as in the authors' code; the paper writes Mahalanobis.
        coordinates = (lab - colours.mean(axis=0)) @ (axes / np.sqrt(variance))
        distances.append(stretched(np.abs(coordinates).sum(axis=2)))
    return stretched(np.sum(distances, axis=0) - np.max(distances, axis=0))


def centre_prior(height: int, width: int) -> Array:
    """1 in the middle of the image, falling linearly to 0 in its corners: (H, W)."""
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    return (1 - np.hypot(y, x) / np.sqrt(2)).astype(np.float32)


def smoothed(saliency: Array, strength: float = 50.0) -> Array:
    """Opening, then closing, both by reconstruction: spots vanish, edges stay (equation 9).

    The square's side, ``strength`` times the root of the mean, is meant for 300 pixels on the
    longer side, to which the authors bring every photo; here it shrinks with the map.
    """
    from skimage.morphology import reconstruction

    scale = max(saliency.shape) / 300
    side = max(3, int(strength * scale * np.sqrt(float(saliency.mean()))))
    square = np.ones((side, side), np.uint8)
    opened = reconstruction(cv2.erode(saliency, square), saliency, "dilation")
    closed = reconstruction(cv2.dilate(opened, square), opened, "erosion")
    return stretched(closed)


def contrasted(saliency: Array, slope: float = 10.0) -> Array:
    """Push values away from the middle between those above and below a half (equation 11)."""
    above = saliency >= 0.5 * saliency.max()
    if above.all():
        return np.zeros_like(saliency)
    middle = 0.5 * (saliency[above].mean() + saliency[~above].mean())
    return stretched(1 / (1 + np.exp(-slope * (saliency - middle))))
