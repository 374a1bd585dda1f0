"""Procedural surfaces: how much of a second colour each point of the unit square shows."""

import colorsys

import cv2
import numpy as np

TEXTURES = ("plain", "stripes", "checks", "dots", "marble", "speckle", "rings", "gradient")


def fractal_noise(
    rng: np.random.Generator, size: tuple[int, int], cells: float, octaves: int = 3
) -> np.ndarray:
    """Return (height, width) float32 noise in about [0, 1], mean 0.5.

    Args:
        rng: generator.
        size: height, width in pixels.
        cells: lattice cells of the coarsest octave along the longer side; each further octave
            doubles them and halves the amplitude.
        octaves: number of octaves.
    """
    height, width = size
    longer = max(height, width)
    total: np.ndarray = np.zeros((1, 1), np.float32)
    for octave in range(octaves):
        fine = cells * 2**octave
        lattice = tuple(max(3, round(fine * side / longer) + 1) for side in size)
        # Octaves are summed on their own small lattices: one large resize at the end, not each.
        total = cv2.resize(total, lattice[::-1], interpolation=cv2.INTER_LINEAR)
        layer = rng.random(lattice, np.float32) - np.float32(0.5)
        total = total + layer * np.float32(0.5**octave)
    total = total * np.float32(1.6 / (2 - 0.5 ** (octaves - 1)))
    return cv2.resize(total, (width, height), interpolation=cv2.INTER_CUBIC) + np.float32(0.5)


def pattern(kind: str, rng: np.random.Generator, size: int, frequency: float) -> np.ndarray:
    """Return (size, size) float32 in [0, 1]: the share of the second colour.

    Args:
        kind: one of ``TEXTURES``.
        rng: generator for phases, directions and noise.
        size: pixels on a side.
        frequency: periods across the tile.
    """
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    turn = rng.uniform(0, np.pi)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along = cos * axis[None] + sin * axis[:, None]
    across = -sin * axis[None] + cos * axis[:, None]
    wave = np.float32(np.pi * frequency)
    if kind == "plain":
        value = 0.25 * fractal_noise(rng, (size, size), 4)
    elif kind == "stripes":
        value = _hard(np.sin(wave * along))
    elif kind == "checks":
        value = _hard(np.sin(wave * along) * np.sin(wave * across) * 2)
    elif kind == "dots":
        value = _hard((np.cos(wave * along) + np.cos(wave * across)) - 0.7)
    elif kind == "marble":
        warp = fractal_noise(rng, (size, size), 3)
        value = 0.5 + 0.5 * np.sin(wave * along + 7 * warp)
    elif kind == "speckle":
        value = _hard((fractal_noise(rng, (size, size), 3 * frequency, 2) - 0.55) * 8)
    elif kind == "rings":
        value = _hard(np.sin(wave * 1.3 * np.sqrt(along**2 + across**2)))
    else:  # gradient
        value = 0.5 + 0.5 * along
    return np.clip(value, 0, 1).astype(np.float32)


def blend(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) float32: from colour ``first`` to ``second``, (3,) each, by ``share``."""
    one, two = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return one + share[..., None] * (two - one)


def random_colour(rng: np.random.Generator) -> np.ndarray:
    """Return an (R, G, B) albedo in [0, 1]: dull more often than saturated, as in photos."""
    hue, saturation, value = rng.uniform(0, 1), rng.beta(1.6, 2.0), rng.uniform(0.25, 0.95)
    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), np.float32)


def _hard(wave: np.ndarray) -> np.ndarray:
    """Turn a wave in [-1, 1] into two colours with a soft edge."""
    return 0.5 + np.clip(wave * 4, -1, 1) * 0.5
