"""Who is examined: a backbone, the heads it was trained with, and the views it was trained on."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from dense_cl.engine.checkpoint import load_checkpoint
from dense_cl.engine.config import load_config
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.frozen import RANDOM, FrozenBackbone, finite
from dense_cl.models.heads import MLPHead
from dense_cl.paths import configs_dir
from dense_cl.registry import CROPS
from dense_cl.transfer.learner_file import load_learner

FEATURES = "features"
_VIEWS = "_base_/views/moco_v2_224.py"  # for weights that come without a recipe
_BATCH = 32


@dataclass(frozen=True)
class Subject:
    """Maps images to every space that is measured.

    Attributes:
        backbone: gives the ``features``, its vector of an image.
        views: configs of the view groups to look through.
        heads: projection heads by the name of their space, ``<objective>_projection``.
        temperatures: of the objectives that have one, by the same names.
        note: what could not be had, for the reader.
    """

    backbone: FrozenBackbone
    views: Sequence[Mapping[str, Any]]
    heads: Mapping[str, nn.Module] = field(default_factory=dict)
    temperatures: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def load(cls, file: str | Path, size: int | None = None, seed: int = 0) -> "Subject":
        """Load a checkpoint with its heads and views; other weights get MoCo v2's views.

        Args:
            file: pretraining checkpoint, exported backbone, or ``random[:ARCH]``.
            size: side of the views in pixels instead of the recipe's.
            seed: of random weights.

        Raises:
            DenseCLError: no such file, or not a backbone.
        """
        file = os.path.expanduser(file)
        backbone = FrozenBackbone.load(file, seed)
        random = str(file).partition(":")[0] == RANDOM
        default = _resized(load_config(configs_dir() / _VIEWS).train_dataloader.dataset.views, size)
        plain = random or Path(file).suffix == ".safetensors" or not Path(file).is_file()
        if plain or not _has_heads(file):  # no file: FILE:ARCH
            return cls(backbone, default)
        try:
            pretrained = load_learner(file)
        except DenseCLError as error:
            return cls(
                backbone, default, note=f"{error} Only the backbone's features are measured."
            )
        views, note = _without_objects(pretrained.views)
        heads, temperatures = {}, {}
        for name, objective in pretrained.learner.named_objectives():
            head = getattr(objective, "head", None)
            if isinstance(head, MLPHead):  # a dense head has no vector for an image
                heads[f"{name}_projection"] = head.eval().to(backbone.mean.device)
                temperature = getattr(objective, "temperature", None)
                if isinstance(temperature, int | float):
                    temperatures[f"{name}_projection"] = float(temperature)
        return cls(backbone, _resized(views, size), heads, temperatures, note)

    @torch.no_grad()
    def encode(self, images_NQHWC: Tensor) -> dict[str, Tensor]:
        """Return the features (N, Q, D) of uint8 RGB images in every space with one vector each."""
        images, views = images_NQHWC.shape[:2]
        parts: dict[str, list[Tensor]] = {}
        for batch in images_NQHWC.flatten(0, 1).split(_BATCH):
            pooled = self.backbone.pooled(batch)
            on_device = pooled.to(self.backbone.mean.device)
            parts.setdefault(FEATURES, []).append(pooled)
            for name, head in self.heads.items():
                parts.setdefault(name, []).append(finite(head(on_device).float().cpu()))
        return {name: torch.cat(part).view(images, views, -1) for name, part in parts.items()}


def _has_heads(file: str | Path) -> bool:
    state_dict = load_checkpoint(file).get("state_dict", {})
    return any(key.startswith("objectives.") for key in state_dict)


def _without_objects(views: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """Replace crops that look for salient objects by random ones of the same sizes."""
    changed, note = [], ""
    for group in views:
        crop = group.get("crop") or {}
        built = CROPS.build(dict(crop)) if crop else None
        if built is not None and built.needs_objects:
            note = f"{crop['type']} is replaced by random crops of the same sizes."
            crop = dict(type="RandomResizedCrop", scale=built.scale, ratio=built.ratio)
        changed.append({**group, "crop": crop} if crop else dict(group))
    return changed, note


def _resized(views: Sequence[Mapping[str, Any]], size: int | None) -> list[dict[str, Any]]:
    plain = Config(dict(views=list(views))).to_dict()["views"]
    return [dict(group, size=(size, size)) if size else dict(group) for group in plain][:1]
