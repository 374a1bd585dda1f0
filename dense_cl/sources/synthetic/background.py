"""What lies behind the objects: two materials, strokes and stones."""

import cv2
import numpy as np

from dense_cl.sources.synthetic.canvas import Patch, cast_shadow, paint, rasterise, relief
from dense_cl.sources.synthetic.lighting import Light
from dense_cl.sources.synthetic.textures import (
    TEXTURES,
    blend,
    fractal_noise,
    pattern,
    random_colour,
)


def background(rng: np.random.Generator, size: tuple[int, int], light: Light) -> np.ndarray:
    """Return (height, width, 3) float32, shaded, before the colour of the light."""
    height, width = size
    border = _border_between_materials(rng, size)
    albedo = _material(rng, size)
    albedo += (_material(rng, size) - albedo) * border[..., None]
    albedo = _with_strokes(rng, albedo)
    roughness = fractal_noise(rng, size, rng.uniform(8, 24)) * np.float32(rng.uniform(1, 5))
    shade, _ = light.shade(roughness + border * np.float32(3))
    picture = albedo * shade[..., None]
    for _ in range(int(rng.integers(3, 9))):
        _stone(rng, picture, light)
    return picture


def _border_between_materials(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return (height, width) float32: 0 in one material, 1 in the other."""
    if rng.random() < 0.5:  # a horizon, as between a wall and a floor
        y = np.linspace(0, 1, size[0], dtype=np.float32)[:, None]
        x = np.linspace(-0.5, 0.5, size[1], dtype=np.float32)[None]
        field = y - np.float32(rng.uniform(0.25, 0.75)) + np.float32(rng.uniform(-0.3, 0.3)) * x
    else:  # patches, as of grass on soil
        field = fractal_noise(rng, size, rng.uniform(1.5, 4)) - np.float32(0.5)
    return np.clip(field * 40 + 0.5, 0, 1).astype(np.float32)


def _material(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    first = random_colour(rng)
    second = np.clip(first * rng.uniform(0.55, 1.3) + rng.uniform(-0.12, 0.12, 3), 0, 1)
    if rng.random() < 0.5:
        share = fractal_noise(rng, size, rng.uniform(2, 30), octaves=4)
    else:
        kind = TEXTURES[int(rng.integers(len(TEXTURES)))]
        share = pattern(kind, rng, max(size), rng.uniform(4, 20))[: size[0], : size[1]]
        share = share * np.float32(0.7) + fractal_noise(rng, size, 6) * np.float32(0.4)
    return blend(first, second, np.clip(share, 0, 1))


def _with_strokes(rng: np.random.Generator, albedo: np.ndarray) -> np.ndarray:
    """Return the albedo with flat twigs, scratches and stems drawn on it."""
    height, width = albedo.shape[:2]
    short = min(height, width)
    canvas = np.clip(albedo * 255, 0, 255).astype(np.uint8)  # OpenCV smooths only 8-bit lines
    for _ in range(int(rng.integers(3, 12))):
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.25, 10))
        stride = short * rng.uniform(0.01, 0.05)
        path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1) * stride, axis=0)
        start = [rng.uniform(0, width), rng.uniform(0, height)]
        line = np.rint((path + start) * 16).astype(np.int32)
        colour = (random_colour(rng) * 255).tolist()
        thickness = int(rng.integers(1, short // 64 + 2))
        cv2.polylines(canvas, [line], False, colour, thickness, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) * np.float32(1 / 255)


def _stone(rng: np.random.Generator, picture: np.ndarray, light: Light) -> None:
    """Paint an irregular lump: a thing with light and shadow that belongs to no category."""
    height, width = picture.shape[:2]
    radius = min(height, width) * float(rng.uniform(0.03, 0.11))
    x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
    corners = int(rng.integers(7, 13))
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    reach = radius * rng.uniform(0.45, 1.0, corners)
    outline = [np.stack([x + reach * np.cos(angle), y + reach * np.sin(angle)], axis=1)]
    patch = Patch.around(outline, 2, (height, width))
    colour, other = random_colour(rng), random_colour(rng)
    share = fractal_noise(rng, (64, 64), 6)
    if min(patch.shape) == 0:
        return
    mask = rasterise(outline, patch)
    albedo = blend(colour, other, cv2.resize(share, patch.shape[::-1]) * np.float32(0.5))
    cast_shadow(picture, outline, radius, light)
    paint(picture, patch, mask, albedo, relief(mask, radius), light, 0.0)
