"""Regions that a pretrained backbone tells apart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dense_cl.regions.backbone_cells import cell_features, require_weights, weights_identity
from dense_cl.regions.clusters import cluster_cells
from dense_cl.regions.provider import RegionProvider, as_label_map, require, shrink
from dense_cl.regions.regions import ImageRegions
from dense_cl.registry import REGIONS


@REGIONS.register_module()
@dataclass(frozen=True)
class Learned(RegionProvider):
    """K-means of the dense features of each image by itself: label map, one pixel a cell.

    As the object discovery network of Odin does (Hénaff et al., "Object discovery and
    representation networks", ECCV 2022), with a backbone that stays as it is instead of an average
    of the one in training. Features are compared by cosine; nothing is random.

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
        require_weights(self.weights, self)

    def settings(self) -> dict[str, Any]:
        """Return the options, with the content of the weights in place of their path."""
        return super().settings() | {"weights": weights_identity(self.weights)}

    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Cluster the cells of one image."""
        features = cell_features(self.weights, shrink(image, self.max_size), self.stage, self)
        return ImageRegions(as_label_map(cluster_cells(features, self.clusters).numpy()))
