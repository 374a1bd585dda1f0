"""Similarity in units of how much features vary at all."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.errors import DenseCLError


@dataclass(frozen=True)
class Whitening:
    r"""Maps features to a space where those of reference images have covariance 1.

    Ericsson, Gouk and Hospedales, "Why Do Self-Supervised Models Transfer?", arXiv 2111.11398,
    measure invariance by the cosine of features whitened so (linusericsson/ssl-invariances
    ``eval_synthetic_invariance.py`` and ``eval_realworld_invariance.py``): it does not change
    under invertible linear maps of the features, so that backbones can be compared, and does not
    count it as invariance if features vary little at all.

    They invert the sample covariance of all validation images of ImageNet. Of fewer images than a
    few for each channel that covariance is singular or nearly so, and its inverse is noise; here
    it is shrunk towards a multiple of the identity by ``ledoit_wolf``, which does nothing to the
    covariance of many images.

    Attributes:
        factor: (D, D) float64 lower Cholesky factor of the covariance.
        shrinkage: how much of the covariance was replaced, 0 to 1.
    """

    factor: Tensor
    shrinkage: float

    @classmethod
    def fit(cls, features_ND: Tensor) -> "Whitening":
        """Learn the covariance of N >= 3 reference images.

        Raises:
            DenseCLError: fewer than three images, or they are so alike that the covariance has no
                inverse.
        """
        features = features_ND.detach().double()
        if len(features) < 3:
            raise DenseCLError(
                f"the covariance of {len(features)} reference images is not enough to whiten with:"
                " three or more are needed. Give others with --reference."
            )
        covariance, shrinkage = ledoit_wolf(features - features.mean(dim=0))
        if not covariance.diagonal().sum() > 0:
            raise DenseCLError(
                f"all {len(features)} reference images have the same features: the backbone has "
                "collapsed, or the images are one."
            )
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if failed:  # nothing varies but what two images differ in, so nothing is shrunk
            raise DenseCLError(
                f"the {len(features)} reference images are copies of two: their covariance cannot"
                " be inverted. Give others with --reference."
            )
        return cls(factor, shrinkage)

    def __call__(self, features_ND: Tensor) -> Tensor:
        """Return whitened features of mean 0, (N, D) float64; their distances are Mahalanobis'."""
        features = features_ND.detach().double()
        centred = features - features.mean(dim=0)
        return torch.linalg.solve_triangular(self.factor, centred.T, upper=False).T


def ledoit_wolf(centred_ND: Tensor) -> tuple[Tensor, float]:
    r"""Return the shrunk covariance of centred features, and the shrinkage.

    :math:`(1 - \delta) S + \delta \frac{\mathrm{tr} S}{D} I` with the :math:`\delta` that minimises
    the expected squared error (Ledoit and Wolf, Journal of Multivariate Analysis 88, 2004, 365-411,
    section 3.3; the divisor of S is N).

    Args:
        centred_ND: (N, D) float64 features less their mean.
    """
    count, channels = centred_ND.shape
    sample = centred_ND.T @ centred_ND / count
    scale = sample.diagonal().mean()
    identity = torch.eye(channels, dtype=sample.dtype)
    spread = (sample - scale * identity).square().sum()  # d^2, up to the divisor D
    # Mean over images of |x x^T - S|^2, from |x|^4 and |S|^2.
    noise = (centred_ND.square().sum(dim=1).square().mean() - sample.square().sum()) / count
    shrinkage = float((noise / spread).clamp(0, 1)) if spread > 0 else 1.0
    return (1 - shrinkage) * sample + shrinkage * scale * identity, shrinkage


def cosines_within(whitened_ND: Tensor, sets_N: Tensor) -> Tensor:
    """Return (S,) mean cosines of two different images of a set.

    The authors' mean over all pairs has each image with itself in it, a constant 1/K of sets of K
    images, which is left out here.

    Args:
        whitened_ND: (N, D) features.
        sets_N: (N,) int64 numbers of sets of two images at least, 0 .. S - 1.
    """
    unit = F.normalize(whitened_ND, dim=1)
    sizes = sets_N.bincount()
    sums = unit.new_zeros(len(sizes), unit.shape[1]).index_add_(0, sets_N, unit)
    own = unit.new_zeros(len(sizes)).index_add_(0, sets_N, unit.square().sum(dim=1))
    return (sums.square().sum(dim=1) - own) / (sizes * (sizes - 1))
