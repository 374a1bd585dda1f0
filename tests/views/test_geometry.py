import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.views.batch import ViewBatch
from dense_cl.views.geometry import (
    ViewGeometry,
    borders_of,
    cell_centres,
    cells_of_points,
    from_source,
    geometries,
    on_source,
    signed_area,
    to_source,
)

sizes = st.tuples(st.integers(5, 90), st.integers(5, 90))


@st.composite
def affine_views(draw, source_size=(61, 83)):
    """Any invertible view: rotated, sheared, mirrored, partly off the source."""
    angle = draw(st.floats(0, 2 * np.pi))
    stretch = draw(st.tuples(st.floats(0.2, 3), st.floats(0.2, 3)))
    mirror = draw(st.sampled_from([-1.0, 1.0]))
    shear = draw(st.floats(-0.5, 0.5))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotation @ np.array([[stretch[0] * mirror, shear], [0, stretch[1]]])
    view_size = draw(sizes)
    height, width = view_size
    centre = np.array([draw(st.floats(0, source_size[1])), draw(st.floats(0, source_size[0]))])
    offset = centre - linear @ [width / 2, height / 2]
    return ViewGeometry(np.column_stack([linear, offset]), view_size, source_size)


@st.composite
def boxes_and_flips(draw, source_size=(61, 83)):
    """A crop, resized, perhaps mirrored."""
    height, width = source_size
    x1, y1 = draw(st.integers(0, width - 2)), draw(st.integers(0, height - 2))
    x2, y2 = draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height))
    size = draw(sizes)
    geometry = ViewGeometry.from_box((x1, y1, x2, y2), size, source_size)
    flip = np.eye(2, 3)
    if draw(st.booleans()):
        flip[0] = [-1, 0, size[1]]
    if draw(st.booleans()):
        flip[1] = [0, -1, size[0]]
    return geometry.then(ViewGeometry(flip, size, size))


def batch_of(views):
    return ViewBatch(
        image=torch.zeros(len(views), *views[0].view_size, 3, dtype=torch.uint8),
        matrix=torch.from_numpy(np.stack([view.matrix for view in views])),
        source_size=torch.tensor([view.source_size for view in views]),
        view_size=views[0].view_size,
        borders=borders_of(views),
    )


@given(affine_views(), affine_views())
def test_maps_compose_and_invert(first, second):
    points = np.random.default_rng(0).uniform(-20, 100, (7, 2))
    np.testing.assert_allclose(first.from_source(first.to_source(points)), points, atol=1e-8)
    there = first.map_points_to(second, points)
    np.testing.assert_allclose(second.map_points_to(first, there), points, atol=1e-7)
    np.testing.assert_allclose(second.to_source(there), first.to_source(points), atol=1e-8)
    relative = first.relative_to(second)
    assert (relative.view_size, relative.source_size) == (first.view_size, second.view_size)
    itself = first.relative_to(first)
    np.testing.assert_allclose(itself.matrix, np.eye(2, 3), atol=1e-9)


@given(affine_views(), affine_views((40, 50)))
def test_then_is_one_map_after_the_other(outer, step):
    step = ViewGeometry(step.matrix, step.view_size, outer.view_size)
    points = np.random.default_rng(1).uniform(0, 50, (5, 2))
    expected = outer.to_source(step.to_source(points))
    np.testing.assert_allclose(outer.then(step).to_source(points), expected, atol=1e-8)


def test_then_refuses_a_step_of_another_size():
    geometry = ViewGeometry.identity((4, 5))
    with pytest.raises(ValueError, match="cannot follow"):
        geometry.then(ViewGeometry.identity((5, 4)))


def test_cell_centres_of_a_flipped_crop_by_hand():
    # A 40 x 20 box at (10, 30), seen at half size and mirrored; cells of 10 x 5 source pixels.
    crop = ViewGeometry.from_box((10, 30, 50, 50), (10, 20), (100, 100))
    view = crop.then(ViewGeometry(np.array([[-1.0, 0, 20], [0, 1, 0]]), (10, 20), (10, 20)))
    centres = view.cell_centres((4, 4)).reshape(4, 4, 2)
    np.testing.assert_allclose(centres[0, :, 0], [45, 35, 25, 15])
    np.testing.assert_allclose(centres[:, 0, 1], [32.5, 37.5, 42.5, 47.5])


@settings(max_examples=40)
@given(affine_views(), affine_views())
def test_overlap_area_agrees_with_counting(first, second):
    fine = 4  # samples per pixel and axis
    height, width = first.source_size
    grid = ViewGeometry.from_box(
        (0, 0, width, height), (height * fine, width * fine), first.source_size
    )
    points = grid.cell_centres(grid.view_size)
    counted = (first.contains(points) & second.contains(points)).sum() / fine**2
    perimeter = 2 * (height + width)
    area = first.overlap_area(second)
    assert area == pytest.approx(counted, abs=perimeter / fine)
    assert area == pytest.approx(second.overlap_area(first), abs=1e-6)


@given(boxes_and_flips(), boxes_and_flips())
def test_overlap_area_of_upright_views_is_that_of_boxes(first, second):
    a = np.concatenate([first.outline().min(0), first.outline().max(0)])
    b = np.concatenate([second.outline().min(0), second.outline().max(0)])
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    assert first.overlap_area(second) == pytest.approx(sides.prod(), abs=1e-6)
    assert first.overlap_area(first) == pytest.approx(abs(signed_area(first.outline())), rel=1e-9)


@settings(max_examples=50)
@given(boxes_and_flips(), boxes_and_flips(), st.randoms(use_true_random=False))
def test_boxes_and_masks_of_upright_views_move_together(first, second, random):
    """The filled mask of a box, moved, is the filled mask of the moved box."""
    height, width = first.view_size
    xs = sorted(random.sample(range(width + 1), 2))
    ys = sorted(random.sample(range(height + 1), 2))
    mask = np.zeros(first.view_size, dtype=np.uint8)
    mask[ys[0] : ys[1], xs[0] : xs[1]] = 1
    moved_mask = first.map_mask_to(second, mask)
    (x1, y1, x2, y2) = first.map_boxes_to(second, [[xs[0], ys[0], xs[1], ys[1]]])[0]
    x = np.arange(second.view_size[1]) + 0.5
    y = np.arange(second.view_size[0]) + 0.5
    clear = 1e-6  # a centre on the very edge may go either way
    surely = ((y > y1 + clear) & (y < y2 - clear))[:, None] & ((x > x1 + clear) & (x < x2 - clear))
    perhaps = ((y > y1 - clear) & (y < y2 + clear))[:, None] & ((x > x1 - clear) & (x < x2 + clear))
    assert (moved_mask >= surely).all()
    assert (moved_mask <= perhaps).all()


def test_mask_of_labels_keeps_labels_and_fills_the_unseen():
    labels = np.arange(1, 13, dtype=np.uint8).reshape(3, 4)
    whole = ViewGeometry.identity((3, 4))
    mirrored = whole.then(ViewGeometry(np.array([[-1.0, 0, 4], [0, 1, 0]]), (3, 4), (3, 4)))
    np.testing.assert_array_equal(whole.map_mask_to(mirrored, labels), labels[:, ::-1])
    right = ViewGeometry.from_box((2, 0, 4, 3), (3, 2), (3, 4))
    seen = right.map_mask_to(whole, labels[:, 2:], fill=255)
    np.testing.assert_array_equal(seen, np.c_[np.full((3, 2), 255), labels[:, 2:]])
    with pytest.raises(ValueError, match="mask of size"):
        whole.map_mask_to(right, labels.T)


def test_box_outside_the_other_view_has_no_area():
    left = ViewGeometry.from_box((0, 0, 10, 10), (10, 10), (10, 40))
    right = ViewGeometry.from_box((30, 0, 40, 10), (10, 10), (10, 40))
    x1, y1, x2, y2 = left.map_boxes_to(right, [[2, 2, 8, 8]])[0]
    assert (x2 - x1) * (y2 - y1) == 0
    assert left.map_boxes_to(right, np.zeros((0, 4))).shape == (0, 4)
    assert len(left.overlap(right)) == 0 and left.overlap_area(right) == 0


def test_padding_is_not_overlap():
    wide = ViewGeometry.from_box((-10, -10, 20, 20), (30, 30), (10, 10))
    assert wide.overlap_area(wide) == pytest.approx(100)


@settings(max_examples=30)
@given(st.lists(affine_views(), min_size=1, max_size=3), sizes)
def test_batched_functions_agree_with_single_views(views, grid):
    views = [ViewGeometry(v.matrix, (32, 48), v.source_size) for v in views]
    batch = batch_of(views)
    centres = cell_centres(batch, grid)
    assert centres.dtype == torch.float64
    for number, view in enumerate(views):
        np.testing.assert_allclose(centres[number], view.cell_centres(grid), atol=1e-9)
        np.testing.assert_array_equal(geometries(batch)[number].matrix, view.matrix)
    back = from_source(batch, centres)
    np.testing.assert_allclose(to_source(batch, back), centres, atol=1e-7)
    cells = cells_of_points(batch, centres, grid)
    assert (cells == torch.arange(grid[0] * grid[1])).all()


def test_cells_of_points_mark_what_the_view_does_not_see():
    batch = batch_of([ViewGeometry.from_box((10, 10, 30, 20), (20, 40), (50, 50))])
    points = torch.tensor([[[10.1, 10.1], [29.9, 19.9], [9.9, 15.0], [20.0, 20.1], [20.1, 12.0]]])
    assert cells_of_points(batch, points.double(), (2, 4)).tolist() == [[0, 7, -1, -1, 2]]
    padded = torch.tensor([[[0.0, 0.0], [50.0, 10.0], [-0.1, 3.0], [49.9, 49.9]]])
    assert on_source(batch, padded).tolist() == [[True, False, False, True]]


def test_what_a_rotation_of_a_crop_brings_in_is_fill_and_not_seen():
    crop = ViewGeometry.from_box((20, 20, 60, 60), (40, 40), (100, 100))
    c = np.sqrt(0.5)  # by 45 degrees about the centre of the crop
    turn = ViewGeometry(np.array([[c, -c, 20], [c, c, 20 - 40 * c]]), (40, 40), (40, 40))
    filled, unaware = crop.filled_by(turn), crop.then(turn)
    np.testing.assert_array_equal(filled.matrix, unaware.matrix)
    points = [[40, 15], [40, 21], [40, 40], [21, 21]]  # beyond the crop, in both, in both, cut off
    assert unaware.contains(points).tolist() == [True, True, True, False]
    assert filled.contains(points).tolist() == [False, True, True, False]
    whole = ViewGeometry.identity((100, 100))
    octagon = 2 * (np.sqrt(2) - 1) * 40**2
    assert filled.overlap_area(whole) == pytest.approx(octagon)
    assert whole.overlap_area(filled) == pytest.approx(octagon)
    shown = whole.map_mask_to(filled, np.ones((100, 100), np.uint8))
    assert shown.sum() == pytest.approx(octagon, rel=0.02) and unaware.overlap_area(whole) > 1599
    flip = ViewGeometry(np.array([[-1.0, 0, 40], [0, 1, 0]]), (40, 40), (40, 40))
    assert crop.filled_by(flip).within == ()
    assert filled.filled_by(flip).contains(points).tolist() == [False, True, True, False]


@given(affine_views(), affine_views(), st.integers(0, 10))
def test_a_batch_does_not_see_what_is_filled(outer, step, seed):
    """Beside a view of other steps that has borders, one that has none."""
    step = ViewGeometry(step.matrix, step.view_size, outer.view_size)
    views = [outer.filled_by(step), outer.then(step), outer.filled_by(step)]
    views[2] = views[2].filled_by(
        ViewGeometry.from_box((3, 3, 99, 99), step.view_size, step.view_size)
    )
    points = np.random.default_rng(seed).uniform(-10, 90, (50, 2))
    batch = batch_of(views)
    everywhere = torch.from_numpy(points).expand(3, -1, -1)
    seen = (cells_of_points(batch, everywhere, (1, 1)) >= 0).numpy()
    shown = on_source(batch, everywhere).numpy()
    on_image = ((points >= 0) & (points < [83, 61])).all(axis=1)
    for number, view in enumerate(views):
        np.testing.assert_array_equal(seen[number], view.contains(points))
        unfilled = np.all([image.contains(points) for image in view.within], axis=0)
        np.testing.assert_array_equal(shown[number], on_image & unfilled)


def test_a_batch_of_crops_and_flips_has_no_borders():
    crop = ViewGeometry.from_box((20, 20, 60, 60), (40, 40), (100, 100))
    flip = ViewGeometry(np.array([[-1.0, 0, 40], [0, 1, 0]]), (40, 40), (40, 40))
    assert borders_of([crop, crop.filled_by(flip)]) is None
