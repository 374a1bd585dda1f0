"""Frozen backbones: where they come from and the feature maps they give."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from torch import Tensor, nn

from dense_cl.errors import DenseCLError
from dense_cl.models import build_backbone
from dense_cl.models.backbones import image_vectors
from dense_cl.transfer.loading import load_backbone

RANDOM = "random"
_BATCH = 32  # images that are on the device at once
_IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


@dataclass(frozen=True)
class FrozenBackbone:
    """A backbone in evaluation mode, with the normalisation its weights expect.

    Batch normalisation uses its running statistics as they are; in a randomly initialised
    network these are mean 0 and variance 1, so it is the identity there.
    """

    module: nn.Module
    mean: Tensor
    std: Tensor

    @classmethod
    def load(cls, backbone: str | Path, seed: int = 0) -> "FrozenBackbone":
        """Load an exported file, or build ``random`` / ``random:ARCH`` from ``seed``.

        ARCH is ``resnet18`` (the default), another ResNet, or the name of a timm model.

        Raises:
            DenseCLError: no such file, not a full match, or no such architecture.
        """
        name, _, architecture = str(backbone).partition(":")
        if name == RANDOM:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                module = build_backbone(_architecture(architecture or "resnet18"))
            return cls.wrap(module)
        if not Path(backbone).is_file():
            raise DenseCLError(
                f"backbone '{backbone}' is not a file. Give the backbone.pth of a pretraining run, "
                "or 'random' or 'random:resnet50' for a random initialisation."
            )
        return cls.wrap(load_backbone(backbone))

    @classmethod
    def wrap(cls, module: nn.Module) -> "FrozenBackbone":
        """Freeze a module; its attribute ``normalization`` is used if it has one."""
        norm: Any = getattr(module, "normalization", None) or _IMAGENET
        device = torch.device(get_device())
        module = module.eval().requires_grad_(False).to(device)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        mean, std = (torch.tensor(norm[key], device=device) for key in ("mean", "std"))
        return cls(module, mean, std)

    @torch.inference_mode()
    def stages(self, images_NHWC: Tensor) -> tuple[Tensor, ...]:
        """Return every stage map (N, C, h, w) of uint8 RGB images, float32 on the CPU."""
        return tuple(stage.cpu() for stage in self.module(self.normalised(images_NHWC)))

    @torch.inference_mode()
    def pooled(self, images_NHWC: Tensor) -> Tensor:
        """Return a vector per image, (N, C), float32 on the CPU: see ``image_vectors``."""
        parts = [
            image_vectors(self.module, self.normalised(part)).float().cpu()
            for part in images_NHWC.split(_BATCH)
        ]
        return torch.cat(parts)

    def normalised(self, images_NHWC: Tensor) -> Tensor:
        """Return uint8 RGB images as its weights expect them, (N, 3, H, W) on its device."""
        scaled = (images_NHWC.to(self.mean.device).float() - self.mean) / self.std
        return scaled.permute(0, 3, 1, 2)


def stage_maps(
    backbone: FrozenBackbone, batches: Iterator[Tensor], stages: Sequence[int]
) -> list[Tensor]:
    """Return the chosen stages of all images, (N, C_s, h_s, w_s) each, in ordinary tensors.

    Raises:
        DenseCLError: the backbone has no such stage.
    """
    collected: list[list[Tensor]] = [[] for _ in stages]
    for images in batches:
        maps = backbone.stages(images)
        for kept, stage in zip(collected, stages, strict=True):
            if not -len(maps) <= stage < len(maps):
                raise DenseCLError(
                    f"stage {stage} does not exist: the backbone has {len(maps)} stages, "
                    f"0..{len(maps) - 1} (or -1 for the last)."
                )
            kept.append(maps[stage])
    # Cloned outside of inference mode, so that autograd may use them.
    return [torch.cat(kept).clone(memory_format=torch.contiguous_format) for kept in collected]


def _architecture(name: str) -> dict[str, Any]:
    resnet = re.fullmatch(r"resnet(\d+)", name)
    if resnet:
        return dict(type="ResNet", depth=int(resnet[1]))
    return dict(type="TimmBackbone", model_name=name)
