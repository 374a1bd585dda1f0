"""LOST: the object is what the cells resemble that resemble few others."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dense_cl.regions.saliency.found_object import FoundObject

K_PATCHES = 100


def lost(features: NDArray[Any], k_patches: int = K_PATCHES) -> FoundObject:
    """Find one object (Siméoni et al., BMVC 2021, arXiv 2109.14279, section 3).

    The seed is the cell with the fewest positively similar others. Of the ``k_patches`` cells with
    the fewest, those positively similar to the seed vote: the object is where the sum of their
    similarities is positive and connected to the seed. As valeoai/LOST ``object_discovery.py``,
    with three things settled that it leaves open: equal degrees rank in row-major order, a cell
    whose feature is zero is no seed, and where all are zero the mask is empty.

    Args:
        features: (h, w, C) of one image, used as they are. Similarity is the dot product, so they
            need both signs: see ``standardised`` for those of a convolutional network.
        k_patches: how many cells of low degree may vote.
    """
    features = np.asarray(features)
    grid = features.shape[:2]
    flat = features.reshape(-1, features.shape[-1])
    similarity = flat @ flat.T
    ranked = np.argsort(degrees(similarity), kind="stable")
    seed = int(ranked[0])
    if similarity[seed, seed] <= 0:
        return FoundObject((0, 0), np.zeros(grid, dtype=bool))
    votes = similarity[voters(similarity, ranked[:k_patches])].sum(axis=0)
    return FoundObject.around(seed, votes.reshape(grid) > 0)


def degrees(similarity: NDArray[Any]) -> NDArray[np.int64]:
    """Count for each of N cells the others that are positively similar; N for a zero feature.

    Args:
        similarity: (N, N) dot products of the features.
    """
    positive = similarity > 0
    alive = positive.diagonal()
    return np.where(alive, positive.sum(axis=1) - alive, len(similarity))


def voters(similarity: NDArray[Any], candidates: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those candidates that are positively similar to the first of them, the seed."""
    return candidates[similarity[candidates[0], candidates] > 0]
