"""VICReg: variance, invariance, covariance."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.losses.info_nce import weighted_mean
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


def vicreg(*views_ND: Tensor, eps: float = 1e-4) -> VICRegTerms:
    r"""Return the three terms of VICReg.

    Invariance :math:`\frac{1}{ND} \lVert x - y \rVert^2`, variance :math:`\frac{1}{D} \sum_d
    \max(0, 1 - \sqrt{\mathrm{Var}(x_d) + \epsilon})` and covariance :math:`\frac{1}{D}
    \sum_{i \ne j} \mathrm{Cov}(x)_{ij}^2`, the latter two of either view (Bardes et al., arXiv
    2105.04906, equations 1 to 5). The paper sums both over the views and divides the squared
    distance by N only. This follows facebookresearch/vicreg ``main_vicreg.py``, which the
    published weights (25, 25, 1) belong to: the mean over N·D, and the variance averaged over
    the views.

    More than two views are those of a multi-crop, the first two being the large ones: invariance
    is the mean over the pairs of a large view and any other, variance the mean over the views,
    covariance twice that (facebookresearch/VICRegL ``main_vicregl.py``, which takes it once).

    Args:
        views_ND: two or more (N, D) raw embeddings of the whole batch, all processes; N > 1.
        eps: ε.

    Returns:
        The terms in float32 at least, not yet weighted.

    Raises:
        DenseCLError: N is 1.
    """
    dtype = torch.promote_types(views_ND[0].dtype, torch.float32)
    views_ND = tuple(view.to(dtype) for view in views_ND)
    variance_V, covariance_V = zip(*(spread(view, eps) for view in views_ND), strict=True)
    pairs = [(i, j) for i in (0, 1) for j in range(len(views_ND)) if j != i]
    distances = torch.stack([F.mse_loss(views_ND[i], views_ND[j]) for i, j in pairs])
    variance, covariance = torch.stack(variance_V).mean(), torch.stack(covariance_V).mean()
    return VICRegTerms(distances.mean(), variance, 2 * covariance)


def spread(
    features_XND: Tensor, eps: float, counted_XN: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return variance and covariance (see ``vicreg``) of N vectors, averaged over X such sets.

    Args:
        features_XND: (..., N, D) in float32 at least, N > 1.
        eps: ε.
        counted_XN: (..., N) bool, which vectors belong to their set; None for all. Sets are then
            averaged by their degrees of freedom, one less than their vectors: those of fewer than
            two have no say, and if all are such, both terms are 0 with zero gradients.

    Raises:
        DenseCLError: N is 1.
    """
    images, channels = features_XND.shape[-2:]
    if images < 2:
        raise DenseCLError(
            f"VICReg and VICRegL take statistics over the images of a step: {images} is too few,"
            " give 2 at least (a larger batch_size, or drop_last=True for the rest of an epoch)."
        )
    if counted_XN is None:
        centred, freedom_X = features_XND - features_XND.mean(dim=-2, keepdim=True), None
        divisor_X = features_XND.new_tensor(images - 1)
    else:
        weight_XN1 = counted_XN.to(features_XND.dtype)[..., None]
        total_X11 = weight_XN1.sum(dim=-2, keepdim=True)
        mean_X1D = (weight_XN1 * features_XND).sum(dim=-2, keepdim=True) / total_X11.clamp_min(1)
        centred = weight_XN1 * (features_XND - mean_X1D)
        freedom_X = (total_X11[..., 0, 0] - 1).clamp_min(0)
        divisor_X = freedom_X.clamp_min(1)
    variance_XD = centred.square().sum(dim=-2) / divisor_X[..., None]
    squared_covariances = squared_products(centred, centred) / divisor_X**2
    off_diagonal_X = squared_covariances - variance_XD.square().sum(dim=-1)
    hinge_X = F.relu(1 - (variance_XD + eps).sqrt()).mean(dim=-1)
    return weighted_mean(hinge_X, freedom_X), weighted_mean(off_diagonal_X, freedom_X) / channels
