"""From a saliency map to numbered objects."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

OTSU, ADAPTIVE = "otsu", "adaptive"
_TOUCHING = np.ones((3, 3), dtype=bool)  # diagonal neighbours too


def salient_objects(
    saliency: NDArray[Any], threshold: str | float, min_share: float, max_share: float
) -> NDArray[np.int64]:
    """Number the connected components of what is salient, the largest 0; -1 is background.

    The map is rounded to 256 levels first, so that one kept in a PNG has the same objects.

    Args:
        saliency: (h, w) values in [0, 1].
        threshold: a level in (0, 1); ``'otsu'``, which parts the levels into two classes of
            smallest variance (Otsu, "A threshold selection method from gray-level histograms",
            1979); or ``'adaptive'``, twice the mean (Achanta et al., "Frequency-tuned salient
            region detection", CVPR 2009). What reaches the level is salient.
        min_share: components of a smaller share of the pixels are background.
        max_share: where more than this share is salient, nothing stands out and nothing is. The
            rules that have a name find nothing in a map without differences either.

    Returns:
        (h, w) ids; components of the same size in the order of their first pixels, row by row.
    """
    levels = as_levels(saliency)
    nothing = np.full(levels.shape, -1, dtype=np.int64)
    if isinstance(threshold, str) and levels.min() == levels.max():
        return nothing
    salient = levels >= _level(levels, threshold)
    if salient.mean() > max_share:
        return nothing
    components, _ = ndimage.label(salient, structure=_TOUCHING)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0  # the background
    order = np.argsort(-sizes, kind="stable")
    kept = order[sizes[order] >= max(min_share * levels.size, 1)]
    ids = np.full(len(sizes), -1, dtype=np.int64)
    ids[kept] = np.arange(len(kept))
    return ids[components]


def as_levels(saliency: NDArray[Any]) -> NDArray[np.uint8]:
    """Round values in [0, 1] to 0 .. 255."""
    return np.round(np.asarray(saliency) * 255).astype(np.uint8)


def otsu_level(levels: NDArray[np.uint8]) -> int:
    """Return the first level of the upper of Otsu's two classes."""
    return int(cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[0]) + 1


def _level(levels: NDArray[np.uint8], threshold: str | float) -> float:
    if threshold == OTSU:
        return otsu_level(levels)
    if threshold == ADAPTIVE:
        return min(2 * float(levels.mean()), 255)
    return 255 * float(threshold)
