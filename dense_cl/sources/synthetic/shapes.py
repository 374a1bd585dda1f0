"""Outlines of the object categories.

Each category is a function of a generator that draws the proportions of one individual, within
what keeps the category recognisable. An outline is a list of closed contours, (N, 2) float64
arrays of about unit size, x to the right and y down; a second contour is a hole.
"""

from collections.abc import Callable

import numpy as np

Outline = list[np.ndarray]

_ROUND = 48  # points on a curve: under half a pixel off at any size we render


def _polar(radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _angles(count: int) -> np.ndarray:
    return np.arange(count) * (2 * np.pi / count)


def _regular(corners: int, turn: float = -np.pi / 2) -> np.ndarray:
    return _polar(np.ones(corners), _angles(corners) + turn)


def _alternating(inner: float, tips: int) -> np.ndarray:
    return _polar(np.tile([1.0, inner], tips), _angles(2 * tips) - np.pi / 2)


def _mirrored(right_half: list[tuple[float, float]]) -> np.ndarray:
    """Close a contour whose right half is given from top to bottom."""
    half = np.asarray(right_half, dtype=np.float64)
    left = half[::-1] * [-1, 1]
    return np.concatenate([half, left[np.abs(left[:, 0]) > 1e-9]])


def disc(rng: np.random.Generator) -> Outline:
    """A circle."""
    return [_regular(_ROUND)]


def ring(rng: np.random.Generator) -> Outline:
    """A circle with a round hole."""
    return [_regular(_ROUND), _regular(_ROUND) * rng.uniform(0.45, 0.65)]


def square(rng: np.random.Generator) -> Outline:
    """A square."""
    return [_regular(4, np.pi / 4)]


def triangle(rng: np.random.Generator) -> Outline:
    """An equilateral triangle."""
    return [_regular(3)]


def hexagon(rng: np.random.Generator) -> Outline:
    """A regular hexagon."""
    return [_regular(6)]


def star(rng: np.random.Generator) -> Outline:
    """A star of five tips."""
    return [_alternating(rng.uniform(0.36, 0.48), 5)]


def gear(rng: np.random.Generator) -> Outline:
    """A cog wheel of 8 to 11 teeth with a bore."""
    teeth, root = int(rng.integers(8, 12)), rng.uniform(0.72, 0.8)
    radius = np.tile([1.0, 1.0, root, root], teeth)
    step = 2 * np.pi / teeth
    angle = (np.arange(teeth)[:, None] + np.array([0.05, 0.4, 0.52, 0.93])).ravel() * step
    return [_polar(radius, angle), _regular(_ROUND) * rng.uniform(0.25, 0.35)]


def cross(rng: np.random.Generator) -> Outline:
    """Two bars of equal length across each other."""
    arm = rng.uniform(0.24, 0.34)
    corner = [(arm, -1.0), (arm, -arm), (1.0, -arm), (1.0, arm), (arm, arm), (arm, 1.0)]
    return [_mirrored(corner)]


def arrow(rng: np.random.Generator) -> Outline:
    """A shaft with a head."""
    shaft, neck = rng.uniform(0.2, 0.3), rng.uniform(-0.15, 0.05)
    return [_mirrored([(0, -1), (0.75, neck), (shaft, neck), (shaft, 1)])]


def crescent(rng: np.random.Generator) -> Outline:
    """A moon between new and half."""
    # Between a circle and a second one shifted right: the horns are where the two meet.
    shift, inner = rng.uniform(0.38, 0.5), rng.uniform(0.78, 0.86)
    x = (1 - inner**2 + shift**2) / (2 * shift)
    outer_horn = np.arccos(x)
    inner_horn = np.arctan2(np.sin(outer_horn), x - shift)
    outside = np.linspace(outer_horn, 2 * np.pi - outer_horn, _ROUND)
    inside = np.linspace(2 * np.pi - inner_horn, inner_horn, _ROUND)
    hollow = _polar(np.full(_ROUND, inner), inside) + [shift, 0]
    return [np.concatenate([_polar(np.ones(_ROUND), outside), hollow]) + [0.2, 0]]


def heart(rng: np.random.Generator) -> Outline:
    """A heart."""
    # The classic parametric heart, 16 sin^3 t across and 13 cos t - ... up.
    t = _angles(_ROUND)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack([x, -y - 2.5], axis=1) / 17]


def leaf(rng: np.random.Generator) -> Outline:
    """A pointed leaf with a serrated edge."""
    t = np.linspace(0, 1, 24)
    width = rng.uniform(0.42, 0.55) * np.sin(np.pi * t**0.8) + 0.05 * np.sin(18 * np.pi * t) * t
    width[[0, -1]] = 0
    return [_mirrored(list(zip(width, 2 * t - 1, strict=True)))]


def drop(rng: np.random.Generator) -> Outline:
    """A falling drop of water."""
    t = np.linspace(0, np.pi, 28)
    sharpness = rng.uniform(1.6, 2.4)
    width = 1.15 * np.sin(t) * np.sin(t / 2) ** sharpness
    return [_mirrored(list(zip(0.75 * width, -np.cos(t), strict=True)))]


def bolt(rng: np.random.Generator) -> Outline:
    """A flash of lightning."""
    w = rng.uniform(0.9, 1.1)
    points = [(0.15, -1), (-0.55, 0.12), (-0.08, 0.12), (-0.3, 1), (0.55, -0.28), (0.08, -0.28)]
    return [np.array([*points, (0.5, -1)]) * [w, 1]]


def flower(rng: np.random.Generator) -> Outline:
    """A round of 5 to 7 petals."""
    petals, depth = int(rng.integers(5, 8)), rng.uniform(0.24, 0.32)
    t = _angles(2 * _ROUND)
    return [_polar(1 - depth + depth * np.cos(petals * t), t)]


def crown(rng: np.random.Generator) -> Outline:
    """A crown of three points."""
    dip = rng.uniform(-0.05, 0.15)
    half = [(0, -0.85), (0.3, dip), (0.9, -0.75), (0.75, 0.75)]
    return [_mirrored(half)]


SHAPES: dict[str, Callable[[np.random.Generator], Outline]] = {
    function.__name__: function
    for function in (
        disc,
        ring,
        square,
        triangle,
        star,
        cross,
        crescent,
        heart,
        hexagon,
        arrow,
        gear,
        leaf,
        drop,
        bolt,
        flower,
        crown,
    )  # fmt: skip
}
CATEGORIES = tuple(SHAPES)
"""Category names; a category's label is its position plus 1, as 0 is background."""


def deform(outline: Outline, rng: np.random.Generator) -> Outline:
    """Return the outline stretched and gently bent, as one individual; it fills the unit disc."""
    stretch = np.exp(rng.uniform(-0.15, 0.15))
    bend, phase = rng.uniform(0, 0.06, 2), rng.uniform(0, 2 * np.pi, 2)
    result = []
    for contour in outline:
        angle = np.arctan2(contour[:, 1], contour[:, 0])
        swell = 1 + bend[0] * np.cos(2 * angle + phase[0]) + bend[1] * np.cos(3 * angle + phase[1])
        result.append(contour * swell[:, None] * [stretch, 1 / stretch])
    reach = max(np.linalg.norm(contour, axis=1).max() for contour in result)
    return [contour / reach for contour in result]
