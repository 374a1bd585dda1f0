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
from dense_cl.regions.provider import require, shrink
from dense_cl.regions.saliency.found_object import standardised
from dense_cl.regions.saliency.lost import K_PATCHES, lost
from dense_cl.regions.saliency.provider import SaliencyProvider, stretched
from dense_cl.regions.saliency.token_cut import EPS, TAU, token_cut
from dense_cl.registry import REGIONS

_STRIDE = 32  # sides of the input are multiples of it, so that cells fill it at every stage
_MARGIN = 64


@dataclass(frozen=True)
class SelfSaliency(SaliencyProvider):
    """Saliency from one feature map of a backbone.

    A photo is mirrored beyond its border, and the cells out there are cut off again: a network
    knows its own zero padding, and would tell the border from the rest by that alone.

    Attributes:
        weights: exported backbone (``backbone.pth`` or ``.safetensors`` of a pretraining run);
            ``random`` or ``random:ARCH`` for an untrained one, as a control.
        stage: feature map, 0 for the shallowest, -1 for the deepest. Those of a ResNet have a cell
            every 4, 8, 16 and 32 pixels of the input; the last is coarse for most objects.
        size: pixels on the longer side of the backbone's input; smaller photos are enlarged. The
            sides are rounded to multiples of 32.
    """

    weights: str
    stage: int = -3
    size: int = 320

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.size >= _STRIDE, self, f"size is {_STRIDE} or more")
        require_weights(self.weights, self)

    def settings(self) -> dict[str, Any]:
        """Return the options, with the content of the weights in place of their path."""
        return super().settings() | {"weights": weights_identity(self.weights)}

    def features(self, image: NDArray[np.uint8]) -> Tensor:
        """Return the feature map of an (H, W, 3) image: (C, h, w)."""
        scale = self.size / max(image.shape[:2]) / _STRIDE
        height, width = (_STRIDE * max(1, round(n * scale)) for n in image.shape[:2])
        way = cv2.INTER_AREA if scale * _STRIDE < 1 else cv2.INTER_LINEAR
        resized = np.asarray(cv2.resize(image, (width, height), interpolation=way), np.uint8)
        padded = np.pad(resized, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), mode="symmetric")
        found = cell_features(self.weights, padded, self.stage, self)
        rows, columns = (
            _MARGIN * cells // side
            for cells, side in zip(found.shape[1:], padded.shape[:2], strict=True)
        )
        return found[:, rows : found.shape[1] - rows, columns : found.shape[2] - columns]


@dataclass(frozen=True)
class CellSaliency(SelfSaliency):
    """Saliency of each cell, brought to the size of the photo reduced to ``size`` pixels."""

    @abstractmethod
    def of_cells(self, features_CHW: Tensor) -> NDArray[np.floating]:
        """Return the saliency of each cell: (H, W) in [0, 1]."""

    def saliency(self, image: NDArray[np.uint8], index: int) -> NDArray[np.float32]:
        """Return a map of at most ``size`` pixels on its longer side, bilinear between cells."""
        cells = self.of_cells(self.features(image)).astype(np.float32)
        height, width = shrink(image, self.size).shape[:2]
        resized = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(resized, dtype=np.float32)


@REGIONS.register_module()
@dataclass(frozen=True)
class LostSaliency(CellSaliency):
    """The object that LOST finds (Siméoni et al., BMVC 2021): 1 in its cells, 0 elsewhere.

    Attributes:
        k_patches: cells of low degree that may vote.
    """

    k_patches: int = K_PATCHES

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.k_patches > 0, self, "k_patches is positive")

    def of_cells(self, features_CHW: Tensor) -> NDArray[np.floating]:
        """Return the mask of the object."""
        return lost(_grid(features_CHW), self.k_patches).mask.astype(np.float32)


@REGIONS.register_module()
@dataclass(frozen=True)
class TokenCutSaliency(CellSaliency):
    """The object that TokenCut finds (Wang et al., CVPR 2022): 1 in its cells, 0 elsewhere.

    Attributes:
        tau: cosine above which cells belong together.
        eps: weight of all other pairs.
    """

    tau: float = TAU
    eps: float = EPS

    def __post_init__(self) -> None:
        super().__post_init__()
        require(-1 <= self.tau < 1, self, "tau is a cosine below 1")
        require(self.eps > 0, self, "eps is positive")

    def of_cells(self, features_CHW: Tensor) -> NDArray[np.floating]:
        """Return the mask of the object."""
        return token_cut(_grid(features_CHW), self.tau, self.eps).mask.astype(np.float32)


@REGIONS.register_module()
@dataclass(frozen=True)
class ClusterSaliency(CellSaliency):
    """Clusters of features that touch the border of the photo little for their size.

    Each cluster (k-means by cosine, nothing random) counts as foreground with exp(-b^2 / 2), b its
    cells at the border over the root of its cells: the boundary connectivity of Zhu et al.,
    "Saliency Optimization from Robust Background Detection", CVPR 2014, on
    clusters instead of superpixels.

    Attributes:
        clusters: per image, fewer where there are fewer different cells.
    """

    stage: int = -2
    clusters: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.clusters > 1, self, "there are two clusters or more")

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
