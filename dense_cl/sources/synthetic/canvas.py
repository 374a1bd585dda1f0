"""Painting shaded, shadow-casting things onto a floating-point picture."""

from dataclasses import dataclass

import cv2
import numpy as np

from dense_cl.sources.synthetic.lighting import Light
from dense_cl.sources.synthetic.shapes import Outline

Offset = tuple[float, float]
_SUBPIXEL_BITS = 4
_SHADOW = 0.55  # share of light that a full shadow takes away
_RELIEF = 0.4  # how thick a thing is, relative to its radius
_ROUNDING = 0.35  # how far from its edge a thing becomes flat, relative to its radius


@dataclass(frozen=True)
class Patch:
    """A rectangle of the picture, as slices."""

    rows: slice
    columns: slice

    @classmethod
    def around(
        cls, outline: Outline, margin: float, size: tuple[int, int], offset: Offset = (0, 0)
    ) -> "Patch":
        """Return the rectangle about an outline and a margin, cut to the picture."""
        points = np.concatenate(outline) + np.array(offset)
        low = np.floor(points.min(axis=0) - margin).astype(int)
        high = np.ceil(points.max(axis=0) + margin).astype(int)
        left, right = (int(np.clip(side, 0, size[1])) for side in (low[0], high[0]))
        top, bottom = (int(np.clip(side, 0, size[0])) for side in (low[1], high[1]))
        return cls(slice(top, bottom), slice(left, right))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def key(self) -> tuple[slice, slice]:
        """Index into an array of the picture's size."""
        return self.rows, self.columns

    @property
    def corner(self) -> np.ndarray:
        """Position (x, y) of the top left pixel."""
        return np.array([self.columns.start, self.rows.start], np.float64)


def rasterise(outline: Outline, patch: Patch, offset: Offset = (0, 0)) -> np.ndarray:
    """Return (H, W) uint8 coverage, 0 to 255, of an outline in picture coordinates.

    ``cv2.fillPoly`` puts pixel centres on whole numbers, we at halves.
    """
    shift = np.array(offset) - patch.corner - 0.5
    contours = [
        np.rint((contour + shift) * (1 << _SUBPIXEL_BITS)).astype(np.int32) for contour in outline
    ]
    mask = np.zeros(patch.shape, np.uint8)
    return cv2.fillPoly(mask, contours, 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)


def relief(mask: np.ndarray, radius: float) -> np.ndarray:
    """Return the height in pixels of a cushion over the mask: round at the edge, flat inside."""
    distance = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
    inward = np.minimum(distance / np.float32(_ROUNDING * radius), 1)
    height = np.sqrt(np.float32(1) - (1 - inward) ** 2) * np.float32(_RELIEF * radius)
    return cv2.GaussianBlur(height, (3, 3), 0)


def cast_shadow(picture: np.ndarray, outline: Outline, radius: float, light: Light) -> None:
    """Darken the picture where a thing about to be painted keeps the light out."""
    offset = light.shadow_offset(_RELIEF * radius)
    blur = max(1.0, 0.1 * radius)
    patch = Patch.around(outline, 3 * blur, picture.shape[:2], offset)
    if min(patch.shape) == 0:
        return
    mask = cv2.GaussianBlur(rasterise(outline, patch, offset), (0, 0), blur)
    picture[patch.key] *= 1 - mask[..., None] * np.float32(_SHADOW / 255)


def paint(
    picture: np.ndarray,
    patch: Patch,
    mask: np.ndarray,
    albedo: np.ndarray,
    height: np.ndarray,
    light: Light,
    gloss: float,
) -> None:
    """Put a shaded surface over the picture.

    Args:
        picture: (H, W, 3) float32, changed in place.
        patch: where.
        mask: (h, w) uint8 coverage.
        albedo: (h, w, 3) float32 colours.
        height: (h, w) float32 in pixels.
        light: the lamp.
        gloss: strength of highlights.
    """
    shade, highlight = light.shade(height, gloss)
    surface = albedo * shade[..., None] + highlight[..., None]
    below = picture[patch.key]
    below += (surface - below) * (mask[..., None] * np.float32(1 / 255))
