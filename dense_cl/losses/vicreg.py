"""VICReg: variance, invariance, covariance."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.losses.squared_products import squared_products


class VICRegTerms(NamedTuple):
    """The parts of the loss, scalars with gradient.

    Attributes:
        invariance: mean squared difference of the two views.
        variance: hinge on the standard deviation of every dimension, mean of the two views.
        covariance: squared covariances of different dimensions over D, sum of the two views.
    """

    invariance: Tensor
    variance: Tensor
    covariance: Tensor


def vicreg(first_ND: Tensor, second_ND: Tensor, eps: float = 1e-4) -> VICRegTerms:
    r"""Return the three terms of VICReg.

    Invariance :math:`\frac{1}{ND} \lVert x - y \rVert^2`, variance :math:`\frac{1}{D} \sum_d
    \max(0, 1 - \sqrt{\mathrm{Var}(x_d) + \epsilon})` and covariance :math:`\frac{1}{D}
    \sum_{i \ne j} \mathrm{Cov}(x)_{ij}^2`, the latter two of either view (Bardes et al., arXiv
    2105.04906, equations 1 to 5). The paper sums both over the views and divides the squared
    distance by N only. This follows facebookresearch/vicreg ``main_vicreg.py``, which the
    published weights (25, 25, 1) belong to: the mean over N·D, and the variance averaged over
    the views.

    Args:
        first_ND: (N, D) raw embeddings of the whole batch, all processes; N > 1.
        second_ND: (N, D) of the other views.
        eps: ε.

    Returns:
        The terms in float32 at least, not yet weighted.
    """
    dtype = torch.promote_types(first_ND.dtype, torch.float32)
    first_ND, second_ND = first_ND.to(dtype), second_ND.to(dtype)
    (variance, covariance), (variance_2, covariance_2) = (
        _spread(view, eps) for view in (first_ND, second_ND)
    )
    invariance = F.mse_loss(first_ND, second_ND)
    return VICRegTerms(invariance, (variance + variance_2) / 2, covariance + covariance_2)


def _spread(features_ND: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    images, channels = features_ND.shape
    centred = features_ND - features_ND.mean(dim=0)
    variance_D = centred.square().sum(dim=0) / (images - 1)
    squared_covariances = squared_products(centred, centred) / (images - 1) ** 2
    off_diagonal = squared_covariances - variance_D.square().sum()
    return F.relu(1 - (variance_D + eps).sqrt()).mean(), off_diagonal / channels
