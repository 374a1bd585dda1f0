"""Backbones by name, ours or MMDetection's, with a common face."""

from dense_cl.models.backbones.build import build_backbone
from dense_cl.models.backbones.resnet import ResNet

__all__ = ["ResNet", "build_backbone"]
