"""The grid over an overlap: the authors' coordinates and alignment, and any affine geometry."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.models.overlap import OverlapGrid
from dense_cl.views.batch import ViewBatch
from dense_cl.views.geometry import ViewGeometry, borders_of, from_source, grid_centres

CLOSE = {"rtol": 1e-8, "atol": 1e-12}


def batch_of(*geometries):
    return ViewBatch(
        image=torch.empty(len(geometries)),
        matrix=torch.from_numpy(np.stack([g.matrix for g in geometries])),
        source_size=torch.tensor([g.source_size for g in geometries]),
        view_size=geometries[0].view_size,
        borders=borders_of(geometries),
    )


def flipped(geometry):
    height, width = geometry.view_size
    mirror = np.array([[-1.0, 0, width], [0, 1, 0]])
    return geometry.then(ViewGeometry(mirror, (height, width), (height, width)))


@pytest.mark.parametrize("case", [1, 2])
def test_coordinates_golden(golden, case):
    """The overlap in each view's own unit frame, flips included."""
    data = golden(f"slotcon_coords_{case}")
    source, size = (int(data["image_height"]), int(data["image_width"])), (32, 48)
    sides = []
    for side in (0, 1):
        geometries = []
        for (i, j, h, w), flip in zip(
            data["crop_params_ijhw"][:, side], data["hflip"][:, side], strict=True
        ):
            geometry = ViewGeometry.from_box((j, i, j + w, i + h), size, source)
            geometries.append(flipped(geometry) if flip else geometry)
        sides.append(batch_of(*geometries))
    grid = OverlapGrid(*sides, (5, 5))
    assert grid.valid_BS.all()
    corners = grid.box[:, [[0, 1], [2, 3]]]
    for side in (0, 1):
        unit = from_source(sides[side], corners) / torch.tensor([size[1], size[0]])
        box = torch.cat([unit.amin(dim=1), unit.amax(dim=1)], dim=1)
        expected = torch.tensor(data["expected_overlap_box_x1y1x2y2"][:, side])
        # The authors compute the coordinates in float32.
        torch.testing.assert_close(box, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("case", [1, 2])
def test_alignment_golden(golden, case):
    data = golden(f"slotcon_invaug_{case}")
    features = torch.tensor(data["feature_map"], requires_grad=True)
    rows, columns = features.shape[2:]
    size = (40, 24)
    views, others = [], []
    for (x1, y1, x2, y2), flip in zip(data["overlap_box_x1y1x2y2"], data["hflip"], strict=True):
        # The source is the view, not flipped; the other view is the overlap.
        x1, x2 = (1 - x2, 1 - x1) if flip else (x1, x2)
        whole = ViewGeometry.identity(size)
        views.append(flipped(whole) if flip else whole)
        box = (x1 * size[1], y1 * size[0], x2 * size[1], y2 * size[0])
        others.append(ViewGeometry.from_box(box, size, size))
    view = batch_of(*views)
    grid = OverlapGrid(view, batch_of(*others), (rows, columns))
    aligned = grid.sample(features, view)
    torch.testing.assert_close(aligned, torch.tensor(data["expected_aligned"]), **CLOSE)
    (aligned * torch.tensor(data["upstream_grad"])).sum().backward()
    expected = torch.tensor(data["expected_grad_feature_map"])
    torch.testing.assert_close(features.grad, expected, **CLOSE)


def random_geometry(rng, source, size, turn):
    """A crop, flipped or not, turned about its centre by up to ``turn`` radians and filled."""
    box_size = rng.uniform(0.2, 0.7, 2) * source[::-1]
    start = rng.uniform(0, 1, 2) * (np.array(source[::-1]) - box_size)
    geometry = ViewGeometry.from_box((*start, *(start + box_size)), size, source)
    angle, centre = rng.uniform(-turn, turn), np.array(size[::-1]) / 2
    linear = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = np.column_stack([linear, centre - linear @ centre])
    geometry = geometry.filled_by(ViewGeometry(matrix, size, size))
    return flipped(geometry) if rng.random() < 0.5 else geometry


def picture(geometry, grid):
    """A map that is linear in the source, so that bilinear reading is exact away from borders."""
    points = geometry.to_source(grid_centres(geometry.view_size, grid))
    return torch.from_numpy(points.T.reshape(2, *grid))


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), turn=st.sampled_from([0.0, 0.6]), fine=st.sampled_from([1, 3]))
def test_valid_cells_show_the_same_place_in_both_views(seed, turn, fine):
    rng = np.random.default_rng(seed)
    source, size, map_size = (90, 130), (48, 60), (12, 15)
    first, second = (random_geometry(rng, source, size, turn) for _ in range(2))
    views = batch_of(first), batch_of(second)
    shape = (map_size[0] // fine, map_size[1] // fine)
    grid = OverlapGrid(*views, shape)
    centres = grid.points(shape)[0].numpy()
    in_both = first.contains(centres) & second.contains(centres)
    valid = grid.valid_BS[0].numpy()
    if not np.array_equal(valid, in_both):  # on the border itself rounding decides
        at_border = centres[valid != in_both]
        images = (first, *first.within, second, *second.within)
        unit = [np.abs(g.from_source(at_border) / size[::-1] - 0.5) for g in images]
        assert np.abs(np.max(unit, axis=(0, 2)) - 0.5).max() < 1e-6
    if turn == 0:
        assert valid.all() == (first.overlap_area(second) > 0)
    read = [
        grid.sample(picture(g, map_size)[None], view)[0].flatten(1).T.numpy()
        for g, view in zip((first, second), views, strict=True)
    ]
    # Within half a cell of the border of a map values are extended, not interpolated.
    readings = grid.points((shape[0] * fine, shape[1] * fine))[0].numpy()
    interpolated = np.ones(len(readings), dtype=bool)
    margin = 0.5 / np.array(map_size[::-1])
    for geometry in (first, second):
        unit = geometry.from_source(readings) / size[::-1]
        interpolated &= ((unit > margin) & (unit < 1 - margin)).all(axis=1)
    blocks = interpolated.reshape(shape[0], fine, shape[1], fine)
    inner = valid & blocks.all(axis=(1, 3)).ravel()
    for values in read:
        np.testing.assert_allclose(values[inner], centres[inner], atol=1e-6)


def test_views_that_do_not_meet_have_no_valid_cell():
    source = (60, 60)
    left = ViewGeometry.from_box((0, 0, 30, 60), (16, 16), source)
    right = ViewGeometry.from_box((30, 0, 60, 60), (16, 16), source)  # touches
    views = batch_of(left, left, right), batch_of(right, left, right)
    grid = OverlapGrid(*views, (4, 4))
    assert grid.valid_BS.sum(dim=1).tolist() == [0, 16, 16]
    read = grid.sample(torch.randn(3, 2, 4, 4), views[0])
    assert read.isfinite().all()


def test_padding_belongs_to_nobody():
    """A view that hangs over the source by half: only what is on the source counts."""
    over = ViewGeometry.from_box((-30, 0, 30, 60), (16, 16), (60, 60))
    view = batch_of(over)
    grid = OverlapGrid(view, view, (4, 4))
    assert grid.box.tolist() == [[0, 0, 30, 60]]
    assert grid.valid_BS.all()
    columns = torch.arange(8.0).expand(1, 1, 8, 8)  # of the view; the source begins with column 4
    # Means of two readings a quarter of a cell off; beyond the last centre there is only the last.
    assert grid.sample(columns, view)[0, 0].tolist() == [[4.0, 5.0, 6.0, 6.875]] * 4
