"""Backbones by name, ours, timm's or MMDetection's, with a common face."""

from dense_cl.models.backbones.build import build_backbone, image_vectors
from dense_cl.models.backbones.moco_v3_vit import MoCoV3ViT
from dense_cl.models.backbones.resnet import ResNet
from dense_cl.models.backbones.timm import TimmBackbone

__all__ = ["MoCoV3ViT", "ResNet", "TimmBackbone", "build_backbone", "image_vectors"]
