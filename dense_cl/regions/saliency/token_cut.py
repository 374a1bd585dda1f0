"""TokenCut: the object is the smaller side of a normalised cut through a graph of cells."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from dense_cl.regions.saliency.found_object import FoundObject

TAU, EPS = 0.2, 1e-5


def token_cut(features: NDArray[Any], tau: float = TAU, eps: float = EPS) -> FoundObject:
    """Find one object (Wang et al., CVPR 2022, arXiv 2202.11539, section 3).

    Two cells are joined with weight 1 if their cosine exceeds ``tau``, else ``eps``. The second
    eigenvector of the normalised cut is split at its mean; the object is the part, on the side of
    the largest absolute value and connected to it. As YangtaoWANG95/TokenCut
    ``object_discovery.py``. Where all pairs of cells are joined alike there is no cut: the mask is
    empty.

    Args:
        features: (h, w, C) of one image; see ``standardised`` for those of a convolutional network.
        tau: cosine above which cells belong together. The paper's value is 0.2.
        eps: weight of all other pairs, > 0, which keeps the graph connected.
    """
    grid = features.shape[:2]
    eigenvector = second_eigenvector(features, tau, eps)
    if eigenvector is None:
        return FoundObject((0, 0), np.zeros(grid, dtype=bool))
    seed = int(np.abs(eigenvector).argmax())
    return FoundObject.around(seed, (eigenvector > eigenvector.mean()).reshape(grid))


def second_eigenvector(features: NDArray[Any], tau: float, eps: float) -> NDArray[Any] | None:
    """Solve (D - W) y = λ D y for the second smallest λ: (N,), N = h w; None if W is constant.

    Equation 3 of the paper. With z = D^½ y it is an ordinary symmetric problem. The sign is such
    that the entry of largest absolute value lies above the mean.
    """
    flat = features.reshape(-1, features.shape[-1])
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = flat / np.maximum(lengths, 1e-12)
    joined = flat @ flat.T > tau
    others = joined[~np.eye(len(joined), dtype=bool)]
    if others.size == 0 or others.all() or not others.any():
        return None
    weights = np.where(joined, 1.0, eps)
    root = 1 / np.sqrt(weights.sum(axis=1))
    laplacian = np.eye(len(weights)) - root[:, None] * weights * root
    _, vectors = eigh(laplacian, subset_by_index=(1, 1))
    vector = root * vectors[:, 0]
    seed = np.abs(vector).argmax()
    return vector if vector[seed] > vector.mean() else -vector
