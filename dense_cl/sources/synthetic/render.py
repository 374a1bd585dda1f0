"""From the description of a scene to its picture and its labels."""

from dataclasses import dataclass

import cv2
import numpy as np

from dense_cl.sources.synthetic.background import background
from dense_cl.sources.synthetic.canvas import Patch, cast_shadow, paint, rasterise, relief
from dense_cl.sources.synthetic.lighting import Light
from dense_cl.sources.synthetic.scene import Scene, SceneObject
from dense_cl.sources.synthetic.shapes import CATEGORIES, SHAPES, Outline, deform
from dense_cl.sources.synthetic.textures import (
    TEXTURES,
    blend,
    fractal_noise,
    pattern,
    random_colour,
)

MIN_VISIBLE = 16
"""Objects of which fewer pixels are visible are not labelled."""

_TILE = 64  # pixels of an object's texture, on a side
_OCCLUDER_REACH = 1.4  # how far an occluder extends from an object's centre, in object radii
_DISTANCE = 4.0  # of the viewer, in object radii: how strong the perspective is
_BACKGROUND, _NOISE, _OCCLUDER = range(3)  # independent random streams of a scene


@dataclass(frozen=True)
class Rendering:
    """A picture and what is where in it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        instances: (H, W) uint8: 0, or 1 + the position of the visible object in ``scene.objects``.
        semantic: (H, W) uint8: 0 for background, or 1 + the category.
        amodal_area: pixels each object would show if nothing were in front of it, by position.
        visible_area: pixels each object does show; below ``MIN_VISIBLE`` they are set to 0.
    """

    image: np.ndarray
    instances: np.ndarray
    semantic: np.ndarray
    amodal_area: tuple[int, ...]
    visible_area: tuple[int, ...]


@dataclass(frozen=True)
class _Appearance:
    """What makes an individual: its outline in the unit disc, and its skin."""

    outline: Outline
    albedo: np.ndarray
    share: np.ndarray
    gloss: float


def render(scene: Scene) -> Rendering:
    """Render a scene. The same scene gives the same bits on every run."""
    light = Light.from_angles(*scene.illumination_direction)
    picture = background(scene.generator(_BACKGROUND), scene.size, light)
    instances: np.ndarray = np.zeros(scene.size, np.uint8)
    amodal_area = []
    for position, item in enumerate(scene.objects):
        amodal_area.append(_draw(scene, position, item, light, picture, instances))
    picture *= light.fall_off(scene.size)
    picture *= np.asarray(scene.illumination_colour, np.float32)
    noise = scene.generator(_NOISE)
    picture += noise.standard_normal(picture.shape, np.float32) * np.float32(0.012)
    image = np.clip(picture * 255, 0, 255).astype(np.uint8)

    visible = np.bincount(instances.ravel(), minlength=len(scene.objects) + 1)[1:]
    visible[visible < MIN_VISIBLE] = 0
    label_of = np.zeros(len(scene.objects) + 1, np.uint8)
    label_of[1:] = [item.category + 1 for item in scene.objects]
    kept = np.concatenate([[0], np.where(visible > 0, np.arange(1, len(visible) + 1), 0)])
    instances = kept.astype(np.uint8)[instances]
    return Rendering(
        image,
        instances,
        semantic=label_of[instances],
        amodal_area=tuple(amodal_area),
        visible_area=tuple(visible.tolist()),
    )


def _draw(
    scene: Scene,
    position: int,
    item: SceneObject,
    light: Light,
    picture: np.ndarray,
    instances: np.ndarray,
) -> int:
    """Paint one object and its occluder; return its amodal area."""
    appearance = _appearance(item.category, item.identity + 7919 * scene.identity)
    to_picture = _homography(item, scene.viewpoint)
    outline = [_project(contour, to_picture) for contour in appearance.outline]
    reach = _OCCLUDER_REACH * item.radius
    room = [np.array([[item.x - reach, item.y - reach], [item.x + reach, item.y + reach]])]
    patch = Patch.around(outline + (room if scene.occlusion > 0 else []), 2, scene.size)
    mask = rasterise(outline, patch)
    solid = mask > 127

    to_object = np.array([[2 / _TILE, 0, -1], [0, 2 / _TILE, -1], [0, 0, 1]])
    shift = np.array([[1, 0, -patch.columns.start], [0, 1, -patch.rows.start], [0, 0, 1]])
    warp = shift @ to_picture @ to_object
    size = patch.shape[::-1]
    albedo = cv2.warpPerspective(appearance.albedo, warp, size, borderMode=cv2.BORDER_REFLECT)
    share = cv2.warpPerspective(appearance.share, warp, size, borderMode=cv2.BORDER_REFLECT)
    height = relief(mask, item.radius) + share * np.float32(0.03 * item.radius)

    cast_shadow(picture, outline, item.radius, light)
    paint(picture, patch, mask, albedo, height, light, appearance.gloss)
    instances[patch.key][solid] = position + 1
    if scene.occlusion > 0 and solid.any():
        _draw_occluder(scene, position, item, light, picture, instances, patch, solid)
    return int(solid.sum())


def _draw_occluder(
    scene: Scene,
    position: int,
    item: SceneObject,
    light: Light,
    picture: np.ndarray,
    instances: np.ndarray,
    patch: Patch,
    solid: np.ndarray,
) -> None:
    """Cover the given share of an object's silhouette by a rock that comes from one side."""
    rng = scene.generator(_OCCLUDER, position)
    turn = np.deg2rad(item.cover_direction)
    rows = np.arange(patch.rows.start, patch.rows.stop, dtype=np.float32)[:, None] + 0.5 - item.y
    columns = np.arange(patch.columns.start, patch.columns.stop, dtype=np.float32) + 0.5 - item.x
    waves = fractal_noise(rng, patch.shape, 4) * np.float32(0.6 * item.radius)
    depth = columns * np.float32(np.cos(turn)) + rows * np.float32(np.sin(turn)) + waves
    edge = np.quantile(depth[solid], 1 - scene.occlusion)
    distance = np.sqrt(rows * rows + columns * columns)
    within = np.where(solid, np.inf, np.float32(0.95 * item.radius) + waves - distance)
    mask = np.clip(np.minimum(depth - edge, within) * 255 + 128, 0, 255).astype(np.uint8)
    first, second = random_colour(rng), random_colour(rng)
    share = fractal_noise(rng, patch.shape, 9, 4)
    albedo = blend(first, first * 0.6 + second * 0.2, np.clip(share, 0, 1))
    height = relief(mask, item.radius) + share * np.float32(0.1 * item.radius)
    paint(picture, patch, mask, albedo, height, light, 0.0)
    instances[patch.key][mask > 127] = 0


def _appearance(category: int, identity: int) -> _Appearance:
    rng = np.random.default_rng((category, identity))
    outline = deform(SHAPES[CATEGORIES[category]](rng), rng)
    first, second = random_colour(rng), random_colour(rng)
    kind = TEXTURES[int(rng.integers(len(TEXTURES)))]
    share = pattern(kind, rng, _TILE, rng.uniform(2, 5))
    gloss = float(rng.choice([0.0, 0.15, 0.45]))
    return _Appearance(outline, blend(first, second, share), share, gloss)


def _homography(item: SceneObject, viewpoint: tuple[float, float, float]) -> np.ndarray:
    """Return the 3x3 map from an object's plane (unit disc) to the picture, in pixels.

    The plane is turned in space, first by the object's own pose, then by the viewpoint, and seen
    in perspective from ``_DISTANCE`` radii.
    """
    tilt, direction, roll = viewpoint
    pose = _tilt(item.lean_direction, item.lean) @ _roll(item.roll)
    turned = _roll(roll) @ _tilt(direction, tilt) @ pose
    camera = np.array(
        [
            [item.radius, 0, item.x / _DISTANCE, item.x],
            [0, item.radius, item.y / _DISTANCE, item.y],
            [0, 0, 1 / _DISTANCE, 1],
        ]
    )
    place = np.array([[*turned[0, :2], 0], [*turned[1, :2], 0], [*turned[2, :2], 0], [0, 0, 1]])
    return camera @ place


def _roll(degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _tilt(direction: float, degrees: float) -> np.ndarray:
    """Turn out of the picture plane about an axis in it."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return _roll(direction) @ about_x @ _roll(-direction)


def _project(points: np.ndarray, homography: np.ndarray) -> np.ndarray:
    mapped = points @ homography[:, :2].T + homography[:, 2]
    return mapped[:, :2] / mapped[:, 2:]
