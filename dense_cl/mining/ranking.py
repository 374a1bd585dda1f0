"""What is most alike: images among all images, regions among those of two images. Pure NumPy."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
_BLOCK = 256  # images compared with all others at a time


def top_indices(values_N: Floats, count: int) -> Integers:
    """Return the places of the ``count`` largest values, best first; of equal ones the first."""
    if count >= len(values_N):
        return np.argsort(-values_N, kind="stable")
    least = np.partition(values_N, len(values_N) - count)[len(values_N) - count]
    places = np.flatnonzero(values_N >= least)
    return places[np.argsort(-values_N[places], kind="stable")][:count]


def nearest_images(vectors_ND: Floats, count: int) -> Integers:
    """Return the images most like each image, by the cosine of their vectors.

    Jiahao000/ORL ``tools/coco_knn_image_retrieval.ipynb``, which drops the first hit as the
    image itself; here it is left out by its number, so a duplicate stays a neighbour.

    Args:
        vectors_ND: (N, D) vectors of any length but zero.
        count: K < N.

    Returns:
        (N, K), best first, never the image itself.
    """
    unit_ND = unit(vectors_ND)
    nearest = np.empty((len(unit_ND), count), dtype=np.int64)
    for start in range(0, len(unit_ND), _BLOCK):
        for row, similar_N in enumerate(unit_ND[start : start + _BLOCK] @ unit_ND.T, start):
            similar_N[row] = -np.inf
            nearest[row] = top_indices(similar_N, count)
    return nearest


def top_pairs(own_AD: Floats, other_BD: Floats, keep: float) -> Integers:
    """Return the most similar pairs of the regions of two images.

    All A x B pairs are ranked by cosine, and the best ``keep`` x A of them stay, one at least
    (Jiahao000/ORL ``openselfsup/models/correspondence.py``). A region may be in several.

    Args:
        own_AD: (A, D) vectors of the regions of one image.
        other_BD: (B, D) of another.
        keep: in (0, 1].

    Returns:
        (Q, 2) numbers of the regions in their images, best first.
    """
    similar_AB = unit(own_AD) @ unit(other_BD).T
    best = top_indices(similar_AB.ravel(), max(1, int(keep * len(own_AD))))
    return np.stack(np.divmod(best, len(other_BD)), axis=1)


def unit(vectors_ND: Floats) -> Floats:
    """Scale (N, D) vectors to length 1."""
    length_N1 = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return vectors_ND / np.maximum(length_N1, np.finfo(vectors_ND.dtype).tiny)
