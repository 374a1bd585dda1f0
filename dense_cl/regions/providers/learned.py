"""Regions that a pretrained backbone tells apart."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.losses.spherical_kmeans import spherical_kmeans
from dense_cl.regions.provider import RegionProvider, as_label_map, require, shrink
from dense_cl.regions.regions import ImageRegions
from dense_cl.registry import REGIONS


@REGIONS.register_module()
@dataclass(frozen=True)
class Learned(RegionProvider):
    """K-means of the dense features of each image by itself: label map, one pixel a cell.

    As the object discovery network of Odin does (Hénaff et al., "Object discovery and
    representation networks", ECCV 2022), with a backbone that stays as it is instead of an average
    of the one in training. Features are compared by cosine. The first centre is
    the cell nearest to the mean; each further one is the cell farthest from those chosen, so
    nothing is random.

    Attributes:
        weights: exported backbone (``backbone.pth`` or ``.safetensors`` of a pretraining run).
        clusters: regions per image, fewer where there are fewer different cells.
        stage: feature map, 0 for the shallowest, -1 for the deepest.
        max_size: the image is reduced to so many pixels on its longer side first; None for never.
    """

    weights: str
    clusters: int = 8
    stage: int = -1
    max_size: int | None = 512

    def __post_init__(self) -> None:
        require(self.clusters > 0, self, "clusters is positive")
        if not Path(self.weights).is_file():
            raise DenseCLError(
                f"regions Learned: weights '{self.weights}' is not a file. Give the backbone.pth of"
                " a pretraining run."
            )

    def settings(self) -> dict[str, Any]:
        """Return the options, with the content of the weights in place of their path."""
        return super().settings() | {"weights": _sha256(self.weights)}

    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Cluster the cells of one image."""
        small = np.ascontiguousarray(shrink(image, self.max_size))
        maps = _backbone(self.weights).stages(torch.from_numpy(small)[None])
        if not -len(maps) <= self.stage < len(maps):
            raise DenseCLError(
                f"regions Learned: stage {self.stage} does not exist, the backbone has {len(maps)}"
            )
        features = maps[self.stage][0].float()
        points = F.normalize(features.flatten(1).T, dim=1)
        labels, _ = spherical_kmeans(points, _spread(points, self.clusters))
        return ImageRegions(as_label_map(labels.view(features.shape[1:]).numpy()))


def _spread(points_MD: Tensor, count: int) -> Tensor:
    """Choose up to ``count`` points that are far from each other: (K, D)."""
    chosen = [int((points_MD @ points_MD.mean(dim=0)).argmax())]
    nearest_M = points_MD @ points_MD[chosen[0]]
    while len(chosen) < count and float(nearest_M.min()) < 1 - 1e-6:
        chosen.append(int(nearest_M.argmin()))
        nearest_M = torch.maximum(nearest_M, points_MD @ points_MD[chosen[-1]])
    return points_MD[chosen]


@lru_cache(maxsize=1)
def _backbone(weights: str) -> Any:
    # In the process that needs it, at its first image: modules are no load for every worker.
    from dense_cl.evaluation.frozen import FrozenBackbone

    return FrozenBackbone.load(weights)


@lru_cache(maxsize=4)
def _sha256(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()
