"""Which locations of the key view show what a location of the query view shows."""

from dense_cl.models.correspondence.base import Correspondence, CorrespondenceProvider, Grid
from dense_cl.models.correspondence.features import (
    FeatureArgmax,
    MutualNearest,
    cosine_similarity,
)
from dense_cl.models.correspondence.geometric import DistanceThreshold, GeometricNearest
from dense_cl.models.correspondence.k_best import KBestFeatures, KBestLocations
from dense_cl.models.correspondence.region_ids import RegionIds

__all__ = [
    "Correspondence",
    "CorrespondenceProvider",
    "DistanceThreshold",
    "FeatureArgmax",
    "GeometricNearest",
    "Grid",
    "KBestFeatures",
    "KBestLocations",
    "MutualNearest",
    "RegionIds",
    "cosine_similarity",
]
