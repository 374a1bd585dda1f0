"""Which pixels of an image are salient: given, found by classical means, or by our own features.

Importing this package registers the providers in ``REGIONS``.
"""

from dense_cl.regions.saliency.feature_background import FeatureBackground
from dense_cl.regions.saliency.masks import SaliencyMasks
from dense_cl.regions.saliency.minimum_barrier import MinimumBarrier
from dense_cl.regions.saliency.provider import SaliencyProvider
from dense_cl.regions.saliency.robust_background import RobustBackground
from dense_cl.regions.saliency.self_saliency import (
    ClusterSaliency,
    LostSaliency,
    TokenCutSaliency,
)
from dense_cl.regions.saliency.spectral_residual import SpectralResidual

__all__ = [
    "ClusterSaliency",
    "FeatureBackground",
    "LostSaliency",
    "MinimumBarrier",
    "RobustBackground",
    "SaliencyMasks",
    "SaliencyProvider",
    "SpectralResidual",
    "TokenCutSaliency",
]
