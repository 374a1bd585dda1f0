"""Boxes of what might be objects."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dense_cl.regions.grouping import PixelBins, merge_hierarchy, region_features
from dense_cl.regions.provider import RegionProvider, require, shrink
from dense_cl.regions.providers.felzenszwalb import graph_segments
from dense_cl.regions.regions import ImageRegions
from dense_cl.registry import REGIONS

_SPACES = {"HSV": cv2.COLOR_RGB2HSV_FULL, "Lab": cv2.COLOR_RGB2LAB}


@REGIONS.register_module()
@dataclass(frozen=True)
class SelectiveSearch(RegionProvider):
    """Boxes of regions that are grouped from small to large: boxes.

    Uijlings et al., "Selective Search for Object Recognition", IJCV 2013. Segments of
    Felzenszwalb and Huttenlocher are merged, always the two most similar neighbours, until one is
    left; every region on the way gives a box. This is repeated for several colour spaces, sets of
    similarities and initial segmentations, by default in the combination that the paper calls
    "fast". Boxes come in the paper's order: place in the hierarchy (1 is the whole image) times a
    random number, always the same here; so the first N are a sample of all sizes. Unlike the
    paper's, colours of the initial segmentation and of the histograms are 8-bit, and the image is
    reduced first.

    Attributes:
        colour_spaces: of 'HSV' and 'Lab'.
        similarities: sets of letters: C colour, T texture, S size, F fill.
        scales: k of the initial segmentations.
        sigma: of their smoothing, in pixels of the reduced image.
        min_size: their smallest region; by default k, as in the authors' code.
        max_size: the image is reduced to so many pixels on its longer side first; None for never.
        max_boxes: the most that are kept.
        size: smallest and largest square root of area, as parts of the image's.
        max_ratio: longest side over shortest.
    """

    colour_spaces: Sequence[str] = ("HSV", "Lab")
    similarities: Sequence[str] = ("CTSF", "TSF")
    scales: Sequence[float] = (50.0, 100.0)
    sigma: float = 0.8
    min_size: int | None = None
    max_size: int | None = 256
    max_boxes: int = 300
    size: tuple[float, float] = (0.0, 1.0)
    max_ratio: float = float("inf")

    def __post_init__(self) -> None:
        known = set(self.colour_spaces) <= set(_SPACES)
        require(known and len(self.colour_spaces) > 0, self, "colour_spaces are HSV and Lab")
        letters = all(set(s) <= set("CTSF") and s for s in self.similarities)
        require(letters and len(self.similarities) > 0, self, "similarities are letters of CTSF")
        require(len(self.scales) > 0 and min(self.scales) > 0, self, "scales are positive")
        require(self.max_boxes > 0, self, "max_boxes is positive")
        require(self.max_ratio >= 1, self, "max_ratio is at least 1")
        ordered = len(self.size) == 2 and 0 <= self.size[0] < self.size[1]
        require(ordered, self, "size is two numbers, 0 <= low < high")

    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Search one image."""
        small = shrink(image, self.max_size)
        boxes, priorities = [], []
        rng = np.random.default_rng(0)
        for space in self.colour_spaces:
            colours = np.asarray(cv2.cvtColor(small, _SPACES[space]), dtype=np.uint8)
            pixels = PixelBins.of(colours)
            for scale in self.scales:
                least = int(scale) if self.min_size is None else self.min_size
                labels = graph_segments(colours, scale, self.sigma, least)
                features = region_features(labels, pixels)
                for letters in self.similarities:
                    found = merge_hierarchy(features, letters)
                    boxes.append(found)
                    places = np.arange(len(found), 0, -1)  # 1 is the whole image, merged last
                    priorities.append(places * rng.random(len(found)))
        stretch = np.array(image.shape[1::-1] * 2) / np.array(small.shape[1::-1] * 2)
        ranked = np.concatenate(boxes)[np.argsort(np.concatenate(priorities), kind="stable")]
        chosen = self._chosen(_without_repeats(ranked) * stretch, image.shape[0] * image.shape[1])
        return ImageRegions(boxes=chosen[: self.max_boxes].astype(np.float32))

    def _chosen(self, boxes: NDArray[np.float64], image_area: int) -> NDArray[np.float64]:
        width, height = (boxes[:, 2:] - boxes[:, :2]).T
        size = np.sqrt(width * height / image_area)
        ratio = np.maximum(width / height, height / width)
        low, high = self.size
        return boxes[(size >= low) & (size <= high + 1e-9) & (ratio <= self.max_ratio)]


def _without_repeats(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Keep the first of equal boxes, in their order."""
    first = np.unique(boxes, axis=0, return_index=True)[1]
    return boxes[np.sort(first)]
