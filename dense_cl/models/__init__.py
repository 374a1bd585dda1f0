"""Encoders, heads, banks and correspondences; importing the package registers them."""

from dense_cl.models.backbones import ResNet, build_backbone
from dense_cl.models.correspondence import (
    DistanceThreshold,
    FeatureArgmax,
    GeometricNearest,
    KBestFeatures,
    KBestLocations,
    MutualNearest,
    RegionIds,
)
from dense_cl.models.heads import DenseMLPHead, MLPHead, Predictor
from dense_cl.models.learner import Learner
from dense_cl.models.memory_bank import MemoryBank
from dense_cl.models.preprocessor import ViewPreprocessor
from dense_cl.models.target import TargetNetwork

__all__ = [
    "DenseMLPHead",
    "DistanceThreshold",
    "FeatureArgmax",
    "GeometricNearest",
    "KBestFeatures",
    "KBestLocations",
    "Learner",
    "MLPHead",
    "MemoryBank",
    "MutualNearest",
    "Predictor",
    "RegionIds",
    "ResNet",
    "TargetNetwork",
    "ViewPreprocessor",
    "build_backbone",
]
