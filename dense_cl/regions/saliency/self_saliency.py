"""What our own features say is an object: pretraining that finds its own saliency."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dense_cl.regions.backbone_cells import cell_features, require_weights, weights_identity
from dense_cl.regions.clusters import cluster_cells
from dense_cl.regions.provider import require
from dense_cl.regions.saliency.found_object import standardised
from dense_cl.regions.saliency.lost import K_PATCHES, lost
from dense_cl.regions.saliency.provider import SaliencyProvider, stretched
from dense_cl.regions.saliency.token_cut import EPS, TAU, token_cut
from dense_cl.registry import REGIONS


@dataclass(frozen=True)
class SelfSaliency(SaliencyProvider):
    """Saliency of the cells of a backbone's feature map, brought to the size of its input.

    Attributes:
        weights: exported backbone (``backbone.pth`` or ``.safetensors`` of a pretraining run);
            ``random`` or ``random:ARCH`` for an untrained one, as a control.
        stage: feature map, 0 for the shallowest, -1 for the deepest. The last but one of a ResNet
            has a cell every 16 pixels.
        size: pixels on the longer side of the backbone's input; smaller photos are enlarged.
    """

    weights: str
    stage: int = -2
    size: int = 320

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.size >= 32, self, "size is 32 or more")
        require_weights(self.weights, self)

    def settings(self) -> dict[str, Any]:
        """Return the options, with the content of the weights in place of their path."""
        return super().settings() | {"weights": weights_identity(self.weights)}

    @abstractmethod
    def of_cells(self, features_CHW: Tensor) -> NDArray[np.floating]:
        """Return the saliency of each cell: (H, W) in [0, 1]."""

    def saliency(self, image: NDArray[np.uint8], index: int) -> NDArray[np.float32]:
        """Return a map as large as the backbone's input, bilinear between the cells."""
        scale = self.size / max(image.shape[:2])
        width, height = (max(1, round(n * scale)) for n in (image.shape[1], image.shape[0]))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = np.asarray(cv2.resize(image, (width, height), interpolation=way), np.uint8)
        cells = self.of_cells(cell_features(self.weights, resized, self.stage, self))
        return cv2.resize(cells.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


@REGIONS.register_module()
@dataclass(frozen=True)
class LostSaliency(SelfSaliency):
    """The object that LOST finds (Siméoni et al., BMVC 2021): 1 in its cells, 0 elsewhere.

    Attributes:
        k_patches: cells of low degree that may vote.
    """

    k_patches: int = K_PATCHES

    def of_cells(self, features_CHW: Tensor) -> NDArray[np.floating]:
        """Return the mask of the object."""
        return lost(_grid(features_CHW), self.k_patches).mask.astype(np.float32)


@REGIONS.register_module()
@dataclass(frozen=True)
class TokenCutSaliency(SelfSaliency):
    """The object that TokenCut finds (Wang et al., CVPR 2022): 1 in its cells, 0 elsewhere.

    Attributes:
        tau: cosine above which cells belong together.
        eps: weight of all other pairs.
    """

    tau: float = TAU
    eps: float = EPS

    def of_cells(self, features_CHW: Tensor) -> NDArray[np.floating]:
        """Return the mask of the object."""
        return token_cut(_grid(features_CHW), self.tau, self.eps).mask.astype(np.float32)


@REGIONS.register_module()
@dataclass(frozen=True)
class ClusterSaliency(SelfSaliency):
    """Clusters of features that touch the border of the photo little for their size.

    Each cluster (k-means by cosine, nothing random) counts as foreground with exp(-b^2 / 2), b its
    cells at the border over the root of its cells: the boundary connectivity of Zhu et al.,
    "Saliency Optimization from Robust Background Detection", CVPR 2014, equations 3 and 6, on
    clusters instead of superpixels.

    Attributes:
        clusters: per image, fewer where there are fewer different cells.
    """

    clusters: int = 8

    def of_cells(self, features_CHW: Tensor) -> NDArray[np.floating]:
        """Return how little the cluster of each cell touches the border."""
        centred = features_CHW - features_CHW.mean(dim=(1, 2), keepdim=True)
        labels = cluster_cells(centred, self.clusters).numpy()
        inner = np.zeros(labels.shape, dtype=bool)
        inner[1:-1, 1:-1] = True
        count = int(labels.max()) + 1
        area = np.bincount(labels.ravel(), minlength=count)
        border = np.bincount(labels[~inner], minlength=count)
        connectivity = border / np.sqrt(np.maximum(area, 1))
        return stretched(np.exp(-(connectivity**2) / 2)[labels])


def _grid(features_CHW: Tensor) -> NDArray[Any]:
    return standardised(features_CHW.permute(1, 2, 0).double().numpy())
