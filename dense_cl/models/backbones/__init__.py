"""Backbones by name, ours, timm's or MMDetection's, with a common face."""

from dense_cl.models.backbones.build import build_backbone
from dense_cl.models.backbones.resnet import ResNet
from dense_cl.models.backbones.timm import TimmBackbone

__all__ = ["ResNet", "TimmBackbone", "build_backbone"]
