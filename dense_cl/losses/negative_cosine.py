"""The loss of methods without negatives (BYOL, SimSiam)."""

import torch.nn.functional as F
from torch import Tensor

from dense_cl.losses.info_nce import unit


def negative_cosine(prediction_ND: Tensor, target_ND: Tensor) -> Tensor:
    r"""Return :math:`-\frac{1}{N} \sum_n \cos(p_n, z_n)`, in float32 at least.

    Chen and He, arXiv 2011.10566, equation 1. BYOL's squared distance of unit vectors
    (arXiv 2006.07733, equation 2) is ``2 + 2 * negative_cosine``. Whether the target receives a
    gradient is the caller's choice: detach it for the methods as published.

    Args:
        prediction_ND: (N, D) raw predictions.
        target_ND: (N, D) raw targets.
    """
    prediction, target = unit(prediction_ND), unit(target_ND)
    return -F.cosine_similarity(prediction, target, dim=1).mean()
