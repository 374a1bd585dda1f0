"""The pixel propagation module of PixPro, without its weights."""

import torch
from torch import Tensor

from dense_cl.losses.checks import check_alike
from dense_cl.losses.info_nce import unit


def propagate(
    features_BDS: Tensor, values_BDS: Tensor, power: float = 2.0, clamp: float = 0.0
) -> Tensor:
    r"""Replace every location by a sum of all locations, the more of those that are like it.

    .. math:: y_i = \sum_j \max(\cos(x_i, x_j), c)^\gamma \, \frac{g_j}{\lVert g_j \rVert}

    over the locations j of the same image (Xie et al., arXiv 2011.10043, equations 3 and 4).
    Normalising the values g, and adding 1e-6 to the similarities if γ < 1 (whose gradient is
    infinite at 0), are of the released code: zdaxie/PixPro ``contrast/models/PixPro.py``.

    Args:
        features_BDS: (B, D, S) raw features x.
        values_BDS: (B, D', S) raw transformed features.
        power: γ.
        clamp: c.

    Returns:
        (B, D', S), not normalised, in float32 at least.

    Raises:
        DenseCLError: other shapes.
    """
    check_alike(2, features=features_BDS[:, 0], values=values_BDS[:, 0])
    with torch.autocast(features_BDS.device.type, enabled=False):
        direction_BDS = unit(features_BDS)
        similarity_BSS = (direction_BDS.mT @ direction_BDS).clamp_min(clamp)
        if power < 1:
            similarity_BSS = similarity_BSS + 1e-6
        return unit(values_BDS) @ (similarity_BSS**power).mT
