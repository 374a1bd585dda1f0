"""Directional light on height maps: Lambert shading, a highlight, and where shadows fall."""

from dataclasses import dataclass

import cv2
import numpy as np

_AMBIENT = 0.45  # light from everywhere, as a share of the full light on a flat surface
_SHININESS = 24
_FALL_OFF = 0.18  # how much darker the side away from the light is, centre to border


@dataclass(frozen=True)
class Light:
    """A distant lamp.

    Attributes:
        towards: unit vector to the lamp: x right, y down, z to the viewer.
    """

    towards: tuple[float, float, float]

    @classmethod
    def from_angles(cls, azimuth: float, elevation: float) -> "Light":
        """Build from degrees (see ``Scene.illumination_direction``)."""
        a, e = np.deg2rad([azimuth, elevation])
        return cls((float(np.cos(a) * np.cos(e)), float(np.sin(a) * np.cos(e)), float(np.sin(e))))

    def shadow_offset(self, height: float) -> tuple[float, float]:
        """Return how far in x and y the shadow of a point ``height`` above the ground falls."""
        x, y, z = self.towards
        return -x / z * height, -y / z * height

    def shade(self, height: np.ndarray, gloss: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
        """Return what to multiply the albedo with, and the highlight to add.

        A flat surface facing the viewer gets 1, whatever the light's elevation, as a camera's
        exposure would make it.

        Args:
            height: (H, W) float32 in pixels, towards the viewer.
            gloss: strength of the highlight.

        Returns:
            Two (H, W) float32 arrays.
        """
        slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
        slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
        x, y, z = (np.float32(part) for part in self.towards)
        length = np.sqrt(slope_x * slope_x + slope_y * slope_y + 1)
        facing = np.maximum((z - x * slope_x - y * slope_y) / length, 0)
        shade = np.float32(_AMBIENT) + np.float32(1 - _AMBIENT) * np.minimum(facing / z, 1.6)
        if not gloss:
            return shade, np.zeros_like(shade)
        # Blinn's half vector between the lamp and a viewer straight ahead.
        half = np.array([x, y, z + 1]) / np.sqrt(2 * (1 + z))
        lined_up = (half[2] - half[0] * slope_x - half[1] * slope_y) / length
        highlight = np.float32(gloss) * np.maximum(lined_up, 0).astype(np.float32) ** _SHININESS
        return shade, highlight

    def fall_off(self, size: tuple[int, int]) -> np.ndarray:
        """Return (height, width, 1) float32 gains, brighter on the side of the lamp."""
        x = np.linspace(-1, 1, size[1], dtype=np.float32)[None]
        y = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None]
        gain = 1 + np.float32(_FALL_OFF) * (self.towards[0] * x + self.towards[1] * y)
        return gain.astype(np.float32)[..., None]
