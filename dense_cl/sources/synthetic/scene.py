"""A scene as plain data: what is where, and under which light it is seen."""

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from dense_cl.errors import DenseCLError, nearest
from dense_cl.sources.synthetic.shapes import CATEGORIES

FACTORS = (
    "viewpoint",
    "illumination_direction",
    "illumination_colour",
    "occlusion",
    "identity",
)
MAX_TILT = 50.0  # degrees; the objects' own lean (up to 20) comes on top


@dataclass(frozen=True)
class SceneObject:
    """One object.

    Attributes:
        category: index into ``CATEGORIES``.
        identity: individual: fixes proportions, colours and texture, whatever the scene.
        x, y: centre, in pixels.
        radius: half its size, in pixels.
        roll: turn in the image plane, in degrees.
        lean: how far it is turned out of the image plane by itself, in degrees.
        lean_direction: about which axis it leans, in degrees.
        cover_direction: from which side an occluder comes, in degrees.
    """

    category: int
    identity: int
    x: float
    y: float
    radius: float
    roll: float
    lean: float
    lean_direction: float
    cover_direction: float


@dataclass(frozen=True)
class Scene:
    """Everything an image is rendered from.

    Attributes:
        seed, split, index: what it was sampled from; they fix the background and the noise.
        size: height, width in pixels.
        objects: from the farthest to the nearest.
        viewpoint: (tilt, direction, roll) in degrees: how objects are turned towards the viewer.
        illumination_direction: (azimuth, elevation) in degrees; azimuth 0 is light from the right,
            90 from below, elevation 90 from the viewer.
        illumination_colour: gains of red, green and blue, mean 1.
        occlusion: share of each object's silhouette that an occluder covers, 0 to 0.9.
        identity: shifts the identity of every object; 0 leaves them as sampled.
    """

    seed: int
    split: str
    index: int
    size: tuple[int, int]
    objects: tuple[SceneObject, ...]
    viewpoint: tuple[float, float, float]
    illumination_direction: tuple[float, float]
    illumination_colour: tuple[float, float, float]
    occlusion: float
    identity: int = 0

    def generator(self, *purpose: int) -> np.random.Generator:
        """Return the generator of one independent part of the scene."""
        key = (self.seed, zlib.crc32(self.split.encode()), self.index, *purpose)
        return np.random.default_rng(key)

    def to_dict(self) -> dict[str, Any]:
        """Return the scene as JSON types, factors on top."""
        content = asdict(self)
        factors = {factor: content.pop(factor) for factor in FACTORS}
        for item in content["objects"]:
            item["category"] = CATEGORIES[item["category"]]
        return {"factors": factors, **content}


def sample_scene(
    seed: int, index: int, size: tuple[int, int] = (192, 192), split: str = "train"
) -> Scene:
    """Return scene number ``index`` of an endless series.

    Args:
        seed: non-negative; with ``split`` and ``index`` all that the scene depends on.
        index: number in the series.
        size: height, width in pixels, at least 32.
        split: name of the series; different names share no scene.

    Raises:
        DenseCLError: the size is too small, or the seed negative.
    """
    if min(size) < 32:
        raise DenseCLError(f"scene size {size[0]}x{size[1]} is too small: 32 pixels at least.")
    if seed < 0:
        raise DenseCLError(f"seed {seed} is negative. Give 0 or more.")
    rng = np.random.default_rng((seed, zlib.crc32(split.encode()), index))
    return Scene(
        seed=seed,
        split=split,
        index=index,
        size=(int(size[0]), int(size[1])),
        objects=_place_objects(rng, size),
        viewpoint=(float(rng.uniform(0, 35)), float(rng.uniform(0, 360)), 0.0),
        illumination_direction=(float(rng.uniform(0, 360)), float(rng.uniform(30, 75))),
        illumination_colour=light_colour(rng.uniform(-1, 1)),
        # Objects hide each other anyway; in one scene in four each has an occluder besides.
        occlusion=float(rng.uniform(0.1, 0.35)) if rng.random() < 0.25 else 0.0,
    )


def _place_objects(rng: np.random.Generator, size: tuple[int, int]) -> tuple[SceneObject, ...]:
    height, width = size
    short = min(size)
    placed: list[SceneObject] = []
    wanted = int(rng.integers(3, 9))
    for _ in range(4 * wanted):
        if len(placed) == wanted:
            break
        radius = short * float(np.exp(rng.uniform(np.log(0.075), np.log(0.24))))
        # Up to a third of an object may lie beyond the border.
        x = float(rng.uniform(0.35 * radius, width - 0.35 * radius))
        y = float(rng.uniform(0.35 * radius, height - 0.35 * radius))
        if any(_hides(x, y, radius, other) for other in placed):
            continue
        placed.append(
            SceneObject(
                category=int(rng.integers(len(CATEGORIES))),
                identity=int(rng.integers(1 << 31)),
                x=x,
                y=y,
                radius=radius,
                roll=float(rng.uniform(-180, 180)),
                lean=float(rng.uniform(0, 20)),
                lean_direction=float(rng.uniform(0, 360)),
                cover_direction=float(rng.uniform(0, 360)),
            )
        )
    return tuple(placed)


def _hides(x: float, y: float, radius: float, other: SceneObject) -> bool:
    """Return whether a nearer disc would hide about half of another object or more."""
    distance = float(np.hypot(x - other.x, y - other.y))
    return distance < max(radius + 0.1 * other.radius, 0.75 * (radius + other.radius))


def light_colour(warmth: float) -> tuple[float, float, float]:
    """Return gains of red, green and blue, mean 1, from bluish (-1) to reddish (1) light."""
    gains = np.array([1 + 0.28 * warmth, 1.0 - 0.04 * abs(warmth), 1 - 0.28 * warmth])
    red, green, blue = (gains / gains.mean()).tolist()
    return red, green, blue


def vary(scene: Scene, factor: str, value: Any) -> Scene:
    """Return the scene with one factor set and all else unchanged.

    Args:
        scene: any scene.
        factor: one of ``FACTORS``.
        value: as described at ``Scene``.

    Raises:
        DenseCLError: unknown factor, or a value out of its range.
    """
    if factor not in FACTORS:
        raise DenseCLError(f"'{factor}' is not a factor of a scene.{nearest(factor, FACTORS)}")
    if factor in ("occlusion", "identity"):
        value = float(value) if factor == "occlusion" else int(value)
    else:
        value = tuple(float(part) for part in value)
    complaint = _complaint(factor, value)
    if complaint:
        raise DenseCLError(f"{factor} {value} is out of range: {complaint}.")
    return replace(scene, **{factor: value})


def _complaint(factor: str, value: Any) -> str | None:
    lengths = {"viewpoint": 3, "illumination_direction": 2, "illumination_colour": 3}
    if factor in lengths and len(value) != lengths[factor]:
        return f"give {lengths[factor]} numbers"
    if factor == "viewpoint" and not 0 <= value[0] <= MAX_TILT:
        return f"the tilt is 0 to {MAX_TILT:g} degrees"
    if factor == "illumination_direction" and not 10 <= value[1] <= 90:
        return "the elevation is 10 to 90 degrees"
    if factor == "illumination_colour" and min(value) < 0:
        return "gains are not negative"
    if factor == "occlusion" and not 0 <= value <= 0.9:
        return "0 to 0.9"
    return None


def sweep(scene: Scene, factor: str, steps: int) -> list[Scene]:
    """Return ``steps`` scenes of the same objects that differ in one factor only.

    The factor runs evenly over its range (light goes once around, colour from bluish to reddish,
    the tilt from 0 to ``MAX_TILT``, occlusion from 0 to 0.8, identity through individuals).
    """
    return [vary(scene, factor, value) for value in _steps(scene, factor, steps)]


def _steps(scene: Scene, factor: str, steps: int) -> Sequence[Any]:
    ramp = np.linspace(0, 1, steps)
    if factor == "viewpoint":
        return [(MAX_TILT * t, *scene.viewpoint[1:]) for t in ramp]
    if factor == "illumination_direction":
        azimuth, elevation = scene.illumination_direction
        return [(azimuth + 360 * k / steps, elevation) for k in range(steps)]
    if factor == "illumination_colour":
        return [light_colour(2 * t - 1) for t in ramp]
    if factor == "occlusion":
        return (0.8 * ramp).tolist()
    return range(steps)
