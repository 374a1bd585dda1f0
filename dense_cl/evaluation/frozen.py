"""Frozen backbones: where they come from and the feature maps they give."""

import copy
import hashlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from torch import Tensor, nn
from torch.utils.data import get_worker_info

from dense_cl.errors import DenseCLError
from dense_cl.models import build_backbone
from dense_cl.models.backbones import image_vectors
from dense_cl.models.backbones.resnet import DEPTHS
from dense_cl.transfer.loading import load_backbone_weights, rebuild, resnet_depth
from dense_cl.transfer.weights_file import TORCHVISION, read_weights, torchvision_file

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
        """Load a file of weights, or build ``random`` / ``random:ARCH`` from ``seed``.

        ARCH is ``resnet18`` (the default), another ResNet, or the name of a timm model. A file of
        dense_cl says what it is, and a ResNet with torchvision's keys can be told; for any other
        write ``FILE:ARCH``. ``torchvision:resnet50`` is the file of torchvision's ImageNet weights
        in the local cache. What says nothing of its normalisation gets the published one where
        ARCH names weights of timm, not only a model (``vit_base_patch16_224.dino``), and
        ImageNet's otherwise.

        Raises:
            DenseCLError: no such file, not a full match, no such architecture, or pixels expected
                in another order than RGB.
        """
        name, _, architecture = str(backbone).partition(":")
        if name == RANDOM:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                module = build_backbone(_architecture(architecture or "resnet18"))
            _add_normalization(module, architecture)
            return cls.wrap(module)
        return cls.wrap(_from_file(str(backbone)))

    @classmethod
    def wrap(cls, module: nn.Module) -> "FrozenBackbone":
        """Freeze a module; its attribute ``normalization`` is used if it has one."""
        norm: Any = getattr(module, "normalization", None) or _IMAGENET
        if any(len(norm.get(key, ())) != 3 for key in ("mean", "std")) or min(norm["std"]) <= 0:
            raise DenseCLError(
                f"normalization {dict(norm)} of this backbone is not usable: it needs mean and std"
                " of three channels, std above 0."
            )
        if max(norm["std"]) < 1:
            raise DenseCLError(
                f"normalization {dict(norm)} of this backbone is for pixels in 0..1, and images are"
                " in 0..255. Multiply mean and std by 255."
            )
        order = norm.get("channel_order", "RGB")
        if order != "RGB":
            raise DenseCLError(
                f"this backbone expects pixels in the order {order}, but images are read as RGB. "
                "Reverse the input channels of its first layer and its mean and std, and say "
                "channel_order='RGB' in its normalization."
            )
        # A forked data worker cannot use a GPU that its parent has asked about.
        device = torch.device("cpu" if get_worker_info() is not None else get_device())
        module.eval()  # not chained: MMDetection's train() returns nothing
        module.requires_grad_(False).to(device)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        mean, std = (torch.tensor(norm[key], device=device) for key in ("mean", "std"))
        return cls(module, mean, std)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over all that decides the features.

        That is weights, layers, their public attributes (levels, number of heads, ...), the version
        of their package, and normalisation. The code of a module's ``forward`` is not part of it.
        """
        package = sys.modules.get(type(self.module).__module__.partition(".")[0])
        version = getattr(package, "__version__", "")
        digest = hashlib.sha256(f"{type(self.module)} {version} {self.module!r}".encode())
        for name, module in self.module.named_modules():
            digest.update(f"{name} {_attributes(module)}".encode())
        named = {"mean": self.mean, "std": self.std} | self.module.state_dict()
        for name, value in named.items():
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()[:16]

    def facts(self) -> dict[str, Any]:
        """Return what a result must say of the backbone besides its name."""
        return {
            "backbone_architecture": _name_of(self.module),
            "backbone_fingerprint": self.fingerprint,
            "backbone_normalization": {"mean": self.mean.tolist(), "std": self.std.tolist()},
        }

    @torch.inference_mode()
    def stages(self, images_NHWC: Tensor) -> tuple[Tensor, ...]:
        """Return every stage map (N, C, h, w) of uint8 RGB images, float32 on the CPU."""
        return tuple(finite(stage.cpu()) for stage in self._maps(images_NHWC))

    def _maps(self, images_NHWC: Tensor) -> Sequence[Tensor]:
        """Return what the module makes of images.

        Raises:
            DenseCLError: it is no list of stage maps.
        """
        maps = self.module(self.normalised(images_NHWC))
        if not isinstance(maps, tuple | list) or any(
            not isinstance(stage, Tensor) or stage.dim() != 4 for stage in maps
        ):
            raise DenseCLError(
                f"backbone {type(self.module).__name__} does not return a tuple of feature maps"
                " (B, C, H, W), shallow to deep. Wrap it in a module whose forward does."
            )
        return maps

    def chosen_stages(self, images_NHWC: Tensor, stages: Sequence[int]) -> list[Tensor]:
        """Return some of the stage maps.

        Raises:
            DenseCLError: the backbone has no such stage.
        """
        maps = self.stages(images_NHWC)
        for stage in stages:
            if not -len(maps) <= stage < len(maps):
                raise DenseCLError(
                    f"stage {stage} does not exist: the backbone has {len(maps)} stages, "
                    f"0..{len(maps) - 1} (or -1 for the last)."
                )
        return [maps[stage] for stage in stages]

    @torch.inference_mode()
    def pooled(self, images_NHWC: Tensor) -> Tensor:
        """Return a vector per image, (N, C), float32 on the CPU: see ``image_vectors``."""
        parts = [finite(self._vectors(p).float().cpu()) for p in images_NHWC.split(_BATCH)]
        return torch.cat(parts)

    def _vectors(self, images_NHWC: Tensor) -> Tensor:
        if getattr(self.module, "class_token", False):
            return image_vectors(self.module, self.normalised(images_NHWC))
        return self._maps(images_NHWC)[-1].mean(dim=(2, 3))

    def normalised(self, images_NHWC: Tensor) -> Tensor:
        """Return (N, 3, H, W) as the backbone wants them, on its device, of RGB in 0..255."""
        scaled = (images_NHWC.to(self.mean.device).float() - self.mean) / self.std
        return scaled.permute(0, 3, 1, 2)


def _attributes(module: nn.Module) -> list[tuple[str, Any]]:
    """Return the attributes of a module that are plain values; its ``repr`` has few of them."""
    return [
        (key, value)
        for key, value in sorted(vars(module).items())
        if not key.startswith("_") and key != "training" and _is_plain(value)
    ]


def _is_plain(value: Any) -> bool:
    """Tell whether the ``repr`` of a value is the same in every process."""
    if isinstance(value, Mapping):
        return all(_is_plain(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)


def finite(features: Tensor) -> Tensor:
    """Return features as they are.

    Raises:
        DenseCLError: they are not numbers, of which every score would be nonsense.
    """
    if not features.isfinite().all():
        raise DenseCLError(
            "the backbone's features are not finite: its weights are broken, or overflow. Export "
            "an earlier checkpoint."
        )
    return features


def open_backbone(backbone: str | Path | nn.Module, seed: int = 0) -> tuple[str, FrozenBackbone]:
    """Return what results call a backbone, and the backbone: see ``load``.

    A module is copied: its owner may be training it.
    """
    if isinstance(backbone, nn.Module):
        return type(backbone).__name__, FrozenBackbone.wrap(copy.deepcopy(backbone))
    if not isinstance(backbone, str | Path):
        raise DenseCLError(
            f"backbone is a {type(backbone).__name__}; give a file, '{RANDOM}', or a module."
        )
    return str(backbone), FrozenBackbone.load(backbone, seed)


def untrained(backbone: str | Path, seed: int = 0) -> FrozenBackbone:
    """Build the architecture of ``FILE`` or ``FILE:ARCH`` with random weights.

    Raises:
        DenseCLError: see ``FrozenBackbone.load``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FrozenBackbone.wrap(_build(str(backbone))[0])


def _from_file(text: str) -> nn.Module:
    """Load what ``FILE`` or ``FILE:ARCH`` names."""
    with torch.random.fork_rng(devices=[]):  # weights that are overwritten are drawn first
        module, file = _build(text)
    load_backbone_weights(module, file, quiet=True)
    return module


def _build(text: str) -> tuple[nn.Module, str]:
    """Build what ``FILE`` or ``FILE:ARCH`` names, and return it and the file."""
    text = os.path.expanduser(text)
    file, _, architecture = (text, "", "") if Path(text).is_file() else text.rpartition(":")
    if text.partition(":")[0] == TORCHVISION:
        named = re.fullmatch(r"resnet(\d+)", text.partition(":")[2] or "resnet18")
        file, architecture = str(torchvision_file(int(named[1]) if named else None)), ""
    if not Path(file or text).is_file():
        raise DenseCLError(
            f"backbone '{file or text}' is not a file. Give the backbone.pth of a pretraining run, "
            "'random' or 'random:resnet50' for a random initialisation, or 'torchvision:resnet50' "
            "for torchvision's weights."
        )
    weights = read_weights(file)
    depth = resnet_depth(weights.state_dict)
    module: Any
    if not architecture and "architecture" in weights.meta:
        module = rebuild(weights.meta["architecture"], file)
    elif not architecture and depth is None:
        raise DenseCLError(
            f"'{file}' does not say which architecture it is, and its keys are those of no "
            f"complete ResNet ({weights.layout}). Write its name behind it, as in "
            f"'{file}:resnet18' or '{file}:vit_small_patch16_224'; timm's names are known."
        )
    else:
        cfg = _architecture(architecture or f"resnet{depth}")
        if "norm.weight" not in weights.state_dict:  # as a pretraining here may leave it out
            cfg.pop("class_token", None)
        module = build_backbone(cfg)
    _add_normalization(module, architecture)
    if "normalization" in weights.meta:
        module.normalization = dict(weights.meta["normalization"])
    return module, file


def _name_of(module: nn.Module) -> str:
    """Return what tells architectures apart, and is the same for two files of one."""
    depth = resnet_depth(module.state_dict())
    name = str(getattr(module, "model_name", "")).partition(".")[0]
    if not name:
        count = sum(parameter.numel() for parameter in module.parameters())
        name = f"resnet{depth}" if depth else f"{type(module).__name__}, {count:,} parameters"
    grouped = any(isinstance(part, nn.GroupNorm) for part in module.modules())
    return f"{name} with group norm" if depth and grouped else name


def _add_normalization(module: Any, architecture: str) -> None:
    """Say what timm publishes, where a name of its weights was given and no file says it."""
    published = getattr(getattr(module, "model", None), "pretrained_cfg", {})
    if "." in architecture and {"mean", "std"} <= published.keys():
        module.normalization = {k: [255 * v for v in published[k]] for k in ("mean", "std")}


def _architecture(name: str) -> dict[str, Any]:
    resnet = re.fullmatch(r"resnet(\d+)", name)
    if resnet and int(resnet[1]) in DEPTHS:  # timm has others
        return dict(type="ResNet", depth=int(resnet[1]))
    return dict(type="TimmBackbone", model_name=name, class_token=None)
