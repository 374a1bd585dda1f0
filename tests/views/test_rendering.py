"""What the geometry says against where rendered blobs really end up."""

import albumentations as A
import numpy as np
import pytest
from fakes import blob_image, centroid
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.errors import DenseCLError
from dense_cl.views.crops import crop_and_resize
from dense_cl.views.geometry import ViewGeometry
from dense_cl.views.group import ViewGroup
from dense_cl.views.pipeline import Pipeline

# cv2 codes: 0 nearest, 2 cubic, 3 area, 4 Lanczos; borders 2 reflect, 4 reflect without the edge.
AFFINE = {
    "flip": dict(type="HorizontalFlip", p=1),
    "vertical flip": dict(type="VerticalFlip", p=1),
    "transpose": dict(type="Transpose", p=1),
    "quarter turns": dict(type="RandomRotate90", p=1),
    "d4": dict(type="D4", p=1),
    "affine": dict(type="Affine", rotate=(-60, 60), scale=(0.6, 1.6), shear=(-12, 12), p=1),
    "affine reflected": dict(type="Affine", translate_percent=(-0.3, 0.3), border_mode=4, p=1),
    "rotate": dict(type="Rotate", limit=90, p=1),
    "rotate lanczos": dict(type="Rotate", limit=45, interpolation=4, border_mode=2, p=1),
    "safe rotate": dict(type="SafeRotate", limit=45, p=1),
    "resize": dict(type="Resize", height=70, width=201, p=1),
    "resize area": dict(type="Resize", height=60, width=71, interpolation=3, p=1),
    "resize cubic": dict(type="Resize", height=240, width=191, interpolation=2, p=1),
    "random scale": dict(type="RandomScale", scale_limit=0.4, p=1),
    "longest": dict(type="LongestMaxSize", max_size=80, p=1),
    "smallest": dict(type="SmallestMaxSize", max_size=190, p=1),
    "their crop": dict(type="RandomResizedCrop", size=(77, 96), scale=(0.5, 1.0), p=1),
    "random crop": dict(type="RandomCrop", height=75, width=91, p=1),
    "centre crop": dict(type="CenterCrop", height=80, width=101, p=1),
    "crop and pad": dict(type="CropAndPad", percent=(-0.1, 0.2), p=1),
    "crop and pad reflected": dict(type="CropAndPad", px=15, border_mode=2, p=1),
    "pad": dict(type="Pad", padding=(3, 8, 11, 0), p=1),
    "pad if needed": dict(type="PadIfNeeded", min_height=171, min_width=230, border_mode=4, p=1),
    "one of": dict(
        type="OneOf", transforms=[dict(type="Rotate", p=1), dict(type="Transpose", p=1)], p=1
    ),
    "nested": dict(
        type="Sequential",
        transforms=[
            dict(type="SomeOf", n=2, transforms=[dict(type="D4", p=1), dict(type="Rotate", p=1)]),
            dict(type="Resize", height=99, width=88, p=1),
        ],
        p=1,
    ),
}
SOURCE = (111, 145)


def blob_error(view, geometry, centre):
    """Distance, in source pixels, from where the blob is seen; None when it is not all in view."""
    expected = geometry.from_source(centre)
    zoom = np.linalg.norm(np.linalg.inv(geometry.matrix[:, :2]), 2)
    radius = 8 * zoom + 1
    high = np.array(geometry.view_size[::-1]) - radius
    if not ((expected > radius) & (expected < high)).all():
        return None
    seen = centroid(view, expected, radius)
    return float(np.abs(geometry.to_source(seen) - centre).max())


def worst_error(pipeline, seeds, source_size=SOURCE):
    errors = []
    rng = np.random.default_rng(0)
    for seed in seeds:
        low = np.full(2, 18)
        centre = rng.uniform(low, np.array(source_size[::-1]) - low)
        image = blob_image(source_size, centre)
        view, geometry = pipeline(image, ViewGeometry.identity(source_size), (seed,))
        assert view.shape[:2] == geometry.view_size and geometry.source_size == source_size
        errors.append(blob_error(view, geometry, centre))
    seen = [error for error in errors if error is not None]
    assert seen, "no blob stayed in view: the test would prove nothing"
    return max(seen)


@pytest.mark.parametrize("name", AFFINE)
def test_albumentations_geometry_is_what_was_rendered(name):
    assert worst_error(Pipeline([AFFINE[name]]), range(12)) < 0.08


def test_nearest_neighbour_sampling_stays_within_half_a_pixel():
    resize = dict(type="Resize", height=201, width=250, interpolation=0, p=1)
    assert worst_error(Pipeline([resize]), range(12)) < 0.5


def test_keypoints_alone_would_be_wrong():
    """The reason for rendering coordinates: albumentations' own keypoints after an upscale."""
    pipeline = A.Compose([A.Resize(444, 580)], keypoint_params=A.KeypointParams("xy"))
    centre = np.array([70.0, 50.0])
    out = pipeline(image=blob_image(SOURCE, centre), keypoints=[centre - 0.5])
    seen = centroid(out["image"], centre * 4, 40) / 4
    theirs = (np.array(out["keypoints"][0]) + 0.5) / 4
    assert np.abs(theirs - seen).max() > 0.3


@settings(max_examples=40)
@given(
    st.tuples(st.integers(80, 140), st.integers(80, 140)),
    st.tuples(st.integers(24, 120), st.integers(24, 120)),
    st.lists(
        st.sampled_from(["flip", "vertical flip", "quarter turns", "affine", "resize"]),
        max_size=4,
        unique=True,
    ),
    st.integers(0, 2**31),
)
def test_any_pipeline_after_a_crop_agrees_with_its_rendering(source, size, names, seed):
    random = np.random.default_rng(seed)
    pipeline = Pipeline([AFFINE[name] for name in names])
    x1, y1 = random.integers(0, source[1] // 3), random.integers(0, source[0] // 3)
    x2 = random.integers(source[1] * 2 // 3, source[1] + 1)
    y2 = random.integers(source[0] * 2 // 3, source[0] + 1)
    centre = random.uniform([x1 + 9, y1 + 9], [x2 - 9, y2 - 9])
    image = blob_image(source, centre)
    cropped = crop_and_resize(image, (x1, y1, x2, y2), size)
    start = ViewGeometry.from_box((x1, y1, x2, y2), size, source)
    view, geometry = pipeline(cropped, start, (seed,))
    error = blob_error(view, geometry, centre)
    # What would be wrong is half a pixel; a blob five times smaller is found to a third of one.
    assert error is None or error < 0.4


@settings(max_examples=30)
@given(
    st.tuples(st.integers(50, 120), st.integers(50, 120)),
    st.tuples(st.integers(30, 90), st.integers(30, 90)),
    st.integers(0, 2**31),
)
def test_two_views_of_a_group_see_the_same_point_where_their_geometry_says(source, size, seed):
    random = np.random.default_rng(seed)
    group = ViewGroup(
        count=2,
        size=size,
        crop=dict(type="RandomResizedCrop", scale=(0.6, 1.0)),
        transforms=[dict(type="HorizontalFlip", p=0.5), dict(type="VerticalFlip", p=0.5)],
    )
    image = blob_image(source, random.uniform(0.3, 0.7, 2) * source[::-1])
    first, second = group(image, (seed,))
    peak = np.unravel_index(first.image[..., 0].argmax(), size)
    inside_first = centroid(first.image, np.array(peak[::-1]) + 0.5, 12)
    expected = first.geometry.map_points_to(second.geometry, inside_first)
    if (first.image[..., 0][[0, -1]].max(), first.image[..., 0][:, [0, -1]].max()) != (0, 0):
        return  # the blob is cut by the border of the view
    margin = 14
    if not ((expected > margin) & (expected < np.array(size[::-1]) - margin)).all():
        return
    seen = centroid(second.image, expected, margin)
    in_source = second.geometry.matrix[:, :2] @ (seen - expected)
    assert np.abs(in_source).max() < 0.3


@pytest.mark.parametrize(
    "config",
    [
        dict(type="CoarseDropout", hole_height_range=(0.5, 0.9), hole_width_range=(0.5, 0.9), p=1),
        dict(type="GridDropout", ratio=0.7, p=1),
        dict(type="PixelDropout", dropout_prob=0.6, p=1),
    ],
    ids=lambda config: config["type"],
)
def test_dropouts_leave_the_geometry_alone(config):
    image = np.full((50, 60, 3), 255, np.uint8)
    view, geometry = Pipeline([config])(image, ViewGeometry.identity((50, 60)), (0,))
    assert (view == 0).any()
    np.testing.assert_array_equal(geometry.matrix, np.eye(2, 3))


class Squeeze(A.DualTransform):
    """A user's affine transform that albumentations does not know: every other column."""

    def apply(self, img, **params):
        return np.ascontiguousarray(img[:, ::2])

    def apply_to_keypoints(self, keypoints, **params):
        return keypoints * np.array([0.5, 1, 1, 1, 1], dtype=np.float32)


class Wave(A.DualTransform):
    """Not affine, and its keypoints do not say so."""

    def apply(self, img, **params):
        shifts = (4 * np.sin(np.arange(len(img)) / 6)).round().astype(int)
        return np.stack(
            [np.roll(row, shift, axis=0) for row, shift in zip(img, shifts, strict=True)]
        )

    def apply_to_keypoints(self, keypoints, **params):
        return keypoints


class NoKeypoints(A.DualTransform):
    def apply(self, img, **params):
        return img[::-1]


def test_unknown_affine_transforms_work_and_others_are_refused_by_name():
    assert worst_error(Pipeline([Squeeze(p=1)]), range(6)) < 0.1
    image, start = np.zeros((60, 70, 3), np.uint8), ViewGeometry.identity((60, 70))
    for transform in (Wave(p=1), NoKeypoints(p=1)):
        with pytest.raises(DenseCLError, match=f"'{type(transform).__name__}' is refused"):
            Pipeline([transform])(image, start, (0,))


def test_a_view_that_lost_the_image_still_has_a_geometry():
    away = dict(type="Affine", translate_px=dict(x=200, y=200), p=1)
    image = np.zeros((60, 70, 3), np.uint8)
    _, geometry = Pipeline([away])(image, ViewGeometry.identity((60, 70)), (0,))
    np.testing.assert_allclose(geometry.to_source([200, 200]), [0, 0], atol=1.0)
