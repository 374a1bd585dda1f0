"""LiDAR: the effective rank of what tells images apart and augmentations do not change."""

import torch
from torch import Tensor

from dense_cl.diagnostics.collapse import at_least_float32, entropy_rank


def lidar(views_NQD: Tensor, delta: float = 1e-4) -> Tensor:
    r"""Return LiDAR, the entropy rank of :math:`\Sigma_w^{-1/2} \Sigma_b \Sigma_w^{-1/2}`.

    Each image is a class of its Q views. :math:`\Sigma_b` is the covariance of the class means
    (divided by N), :math:`\Sigma_w` the mean over all views of their scatter about them, plus
    :math:`\delta I`; the entropy is that of RankMe (Thilak et al., arXiv 2312.04000). Where
    arnab39/reptrix differs (it sums the scatter, and centres and squares the spectrum), this
    follows the paper's formulas.

    With N (Q - 1) < D the scatter has directions without any variance, in which delta alone
    decides; see ``enough_views``.

    Args:
        views_NQD: (N, Q, D) features of Q augmented views of N images.
        delta: regularisation > 0.

    Returns:
        Scalar in [1, min(N - 1, D)] up to RankMe's epsilon, without gradient.
    """
    views = views_NQD.detach().to(at_least_float32(views_NQD))
    images, count, channels = views.shape
    means = views.mean(dim=1)
    centred = means - means.mean(dim=0)
    scatter = (views - means[:, None]).reshape(-1, channels)
    within = scatter.T @ scatter / (images * count)
    values, vectors = torch.linalg.eigh(within)
    whitening = vectors * (values.clamp(min=0) + delta).rsqrt()
    # Squared singular values of the whitened means are the eigenvalues of the product.
    return entropy_rank(torch.linalg.svdvals(centred @ whitening).square() / images)


def enough_views(images: int, views: int, channels: int) -> bool:
    """Whether the scatter within images can be estimated in every direction."""
    return images * (views - 1) >= channels
