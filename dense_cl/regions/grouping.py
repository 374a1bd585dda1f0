"""Hierarchical grouping of segments by similarity (Uijlings et al., IJCV 2013)."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_COLOUR_BINS = 25
_TEXTURE_BINS = 10
_ORIENTATIONS = 8


@dataclass(frozen=True, eq=False)
class RegionFeatures:
    """What decides which of R regions are merged first.

    Attributes:
        size: (R,) pixels.
        box: (R, 4) x1, y1, x2, y2, the last two exclusive.
        colour: (R, 75) histograms of colour, each row summing to 1.
        texture: (R, 240) histograms of derivatives, each row summing to 1.
        touching: (R, R) whether two different regions have a common border.
    """

    size: Array
    box: NDArray[np.int64]
    colour: Array
    texture: Array
    touching: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PixelBins:
    """Which bins of the histograms each pixel of an (H, W, 3) image falls into.

    Attributes:
        colour: (H, W, 3), 25 bins for each channel.
        texture: (H, W, 24), Gaussian derivatives (sigma 1) of each channel in eight directions,
            10 bins each.
    """

    colour: NDArray[np.int64]
    texture: NDArray[np.int64]

    @classmethod
    def of(cls, image: NDArray[np.uint8]) -> "PixelBins":
        """Bin the pixels of an image."""
        return cls((image.astype(np.int64) * _COLOUR_BINS) >> 8, _derivative_bins(image))


def region_features(labels: NDArray[np.int64], pixels: PixelBins) -> RegionFeatures:
    """Describe the regions of an (H, W) label map, ids 0..R-1, by the pixels of an image."""
    count = int(labels.max()) + 1
    size = np.bincount(labels.ravel(), minlength=count).astype(np.float64)
    rows, columns = np.indices(labels.shape)
    box = np.empty((count, 4), dtype=np.int64)
    for place, positions in enumerate((columns, rows)):
        low, high = np.full(count, max(labels.shape)), np.zeros(count, dtype=np.int64)
        np.minimum.at(low, labels.ravel(), positions.ravel())
        np.maximum.at(high, labels.ravel(), positions.ravel())
        box[:, place], box[:, place + 2] = low, high + 1
    return RegionFeatures(
        size,
        box,
        _histograms(labels, pixels.colour, _COLOUR_BINS, count),
        _histograms(labels, pixels.texture, _TEXTURE_BINS, count),
        touching(labels),
    )


def touching(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which regions of an (H, W) label map, ids 0..R-1, have a common border: (R, R)."""
    count = int(labels.max()) + 1
    touch = np.zeros((count, count), dtype=bool)
    for first, second in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        touch[first.ravel(), second.ravel()] = True
    touch |= touch.T
    np.fill_diagonal(touch, False)
    return touch


def merge_hierarchy(features: RegionFeatures, similarities: str) -> NDArray[np.int64]:
    """Merge the two most similar neighbours until one region is left.

    Args:
        features: of the R initial regions.
        similarities: letters of the terms to sum: C colour and T texture
            (histogram intersections), S size (small regions first), F fill (little empty space in
            the common box).

    Returns:
        (2 R - 1, 4) boxes: those of the initial regions, then of the merged ones in their order.
    """
    size, box, touching = features.size.copy(), features.box.copy(), features.touching.copy()
    hists = [h.copy() for h, c in ((features.colour, "C"), (features.texture, "T"))
             if c in similarities]  # fmt: skip
    area = size.sum()

    def similarity(region: int, others: NDArray[np.int64]) -> Array:
        total = np.zeros(len(others))
        for hist in hists:
            total += np.minimum(hist[others], hist[region]).sum(axis=1)
        both = size[others] + size[region]
        if "S" in similarities:
            total += 1 - both / area
        if "F" in similarities:
            low = np.minimum(box[others, :2], box[region, :2])
            high = np.maximum(box[others, 2:], box[region, 2:])
            total += 1 - ((high - low).prod(axis=1) - both) / area
        return total

    # Regions without a common border, or merged already, are never the most similar.
    table = np.full(touching.shape, -np.inf)
    for region, row in enumerate(touching):
        others = np.flatnonzero(row)
        table[region, others] = similarity(region, others)
    found = list(features.box)  # not rows of the copy, which go on changing
    for _ in range(len(size) - 1):
        keep, drop = divmod(int(table.argmax()), len(size))
        share = size[[keep, drop]] / size[[keep, drop]].sum()
        for hist in hists:
            hist[keep] = share @ hist[[keep, drop]]
        size[keep] += size[drop]
        box[keep, :2] = np.minimum(box[keep, :2], box[drop, :2])
        box[keep, 2:] = np.maximum(box[keep, 2:], box[drop, 2:])
        found.append(box[keep].copy())
        neighbours = touching[keep] | touching[drop]
        neighbours[[keep, drop]] = False
        for matrix, empty in ((touching, False), (table, -np.inf)):
            matrix[[keep, drop]] = empty
            matrix[:, [keep, drop]] = empty
        others = np.flatnonzero(neighbours)
        touching[keep, others] = touching[others, keep] = True
        table[keep, others] = table[others, keep] = similarity(keep, others)
    return np.stack(found)


def _histograms(
    labels: NDArray[np.int64], bins: NDArray[np.int64], num_bins: int, count: int
) -> Array:
    """Histogram (H, W, C) bin numbers of every region: (count, C * num_bins), rows sum to 1."""
    channels = bins.shape[2]
    row = labels[..., None] * channels + np.arange(channels)
    flat = np.bincount((row * num_bins + bins).ravel(), minlength=count * channels * num_bins)
    hist = flat.reshape(count, channels * num_bins).astype(np.float64)
    return hist / hist.sum(axis=1, keepdims=True)


def _derivative_bins(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Bin the positive part of the derivative in each direction: (H, W, 3 * 8)."""
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    along_x = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1) / 2
    along_y = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1) / 2
    angles = np.arange(_ORIENTATIONS) * (2 * np.pi / _ORIENTATIONS)
    slopes = [np.cos(a) * along_x + np.sin(a) * along_y for a in angles]
    strength = np.concatenate(slopes, axis=2).clip(min=0)
    # A slope of a smoothed edge from 0 to 255 is 102 at most (255 / sqrt(2 pi)).
    return (strength * (_TEXTURE_BINS / 102.0)).astype(np.int64).clip(max=_TEXTURE_BINS - 1)
