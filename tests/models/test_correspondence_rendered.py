"""Matches against what was rendered: a picture whose colours are the coordinates of its pixels."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.models.correspondence import DistanceThreshold, GeometricNearest, KBestLocations
from dense_cl.models.correspondence.geometric import cell_diagonals
from dense_cl.models.features import ViewFeatures
from dense_cl.views.batch import ViewBatch
from dense_cl.views.geometry import grid_centres
from dense_cl.views.group import ViewGroup

TOLERANCE = 1.0  # source pixels: colours are whole numbers, and so is what was read off them
TURNS = [
    dict(type="HorizontalFlip", p=0.5),
    dict(type="VerticalFlip", p=0.5),
    dict(type="Rotate", limit=40, border_mode=0, p=0.5),
]


class Rendered:
    """A view of the picture, and the place in the source that each cell's centre shows."""

    def __init__(self, picture, size, grid, key):
        group = ViewGroup(1, size, dict(type="RandomResizedCrop", scale=(0.15, 1.0)), TURNS)
        (view,) = group(picture, key)
        image = view.image.astype(np.float64)
        corner = grid_centres(size, grid) - 0.5
        left, top = np.floor(corner).astype(int).T
        x, y = (corner - np.floor(corner)).T[:, :, None]
        patch = [image[top + dy, left + dx] for dy in (0, 1) for dx in (0, 1)]
        upper, lower = patch[0] * (1 - x) + patch[1] * x, patch[2] * (1 - x) + patch[3] * x
        colour = upper * (1 - y) + lower * y
        self.places = colour[:, :2] + 0.5  # the centre of pixel i is at i + 0.5
        self.shown = np.min([p[:, 2] for p in patch], axis=0) == 255  # no fill of a rotation
        self.geometry, self.grid, self.cells = view.geometry, grid, np.divide(size, grid)[::-1]
        matrix = torch.tensor(view.geometry.matrix)[None]
        source = torch.tensor([view.geometry.source_size])
        self.features = ViewFeatures((), ViewBatch(torch.empty(0), matrix, source, size))

    def in_cells(self, offset):
        """A difference of source places, (N, 2), in cells along the sides of this view."""
        return offset @ np.linalg.inv(self.geometry.matrix[:, :2]).T / self.cells

    @property
    def tolerance(self):
        """``TOLERANCE`` in cells."""
        zoom = np.linalg.norm(np.linalg.inv(self.geometry.matrix[:, :2]), 2)
        return TOLERANCE * 2**0.5 * zoom / self.cells.min()


sizes = st.tuples(st.integers(40, 90), st.integers(40, 90))
grids = st.tuples(st.integers(2, 7), st.integers(2, 7))


@st.composite
def rendered_pairs(draw):
    """Two views of different size and grid of a picture of random size."""
    height, width = draw(st.integers(120, 250)), draw(st.integers(120, 250))
    y, x = np.mgrid[:height, :width]
    picture = np.stack([x, y, np.full_like(x, 255)], axis=-1).astype(np.uint8)
    seed = draw(st.integers(0, 2**31))
    return [Rendered(picture, draw(sizes), draw(grids), (seed, view)) for view in range(2)]


def matched(provider, query, key):
    return provider(query.features, key.features, query.grid, key.grid)


@settings(max_examples=40, deadline=None)
@given(rendered_pairs())
def test_geometric_nearest_lands_within_half_a_cell(pair):
    query, key = pair
    match = matched(GeometricNearest(), query, key)
    chosen, valid = match.indices_BS[0].numpy(), match.valid_BS[0].numpy()
    judged = valid & query.shown & key.shown[chosen]
    off = key.in_cells(query.places - key.places[chosen])[judged]
    assert (np.abs(off) < 0.5 + key.tolerance).all()
    # What is left out lies, as rendered, nearer than half a cell to no cell of the key view.
    missed = query.places[~valid & query.shown]
    nearest = np.abs(key.in_cells((missed[:, None] - key.places).reshape(-1, 2))).max(axis=1)
    nearest = nearest.reshape(len(missed), len(key.places))[:, key.shown]
    assert (nearest > 0.5 - key.tolerance).all()


@settings(max_examples=40, deadline=None)
@given(rendered_pairs())
def test_threshold_pairs_are_those_of_the_rendered_distance(pair):
    query, key = pair
    near = matched(DistanceThreshold(0.7), query, key).weights_BST[0].numpy()
    distance = np.linalg.norm(query.places[:, None] - key.places, axis=2)
    diagonals = [float(cell_diagonals(side.features.view, side.grid)) for side in pair]
    limit = 0.7 * max(diagonals)
    judged = query.shown[:, None] & key.shown
    slack = 2**0.5 * TOLERANCE
    assert (distance[near & judged] < limit + slack).all()
    assert (distance[~near & judged] > limit - slack).all()


@settings(max_examples=40, deadline=None)
@given(rendered_pairs(), st.integers(1, 12))
def test_kept_places_are_the_closest_as_rendered(pair, count):
    query, key = pair
    match = matched(KBestLocations(count, any_distance=True), query, key)
    chosen, valid = match.indices_BS[0].numpy(), match.valid_BS[0].numpy()
    if not (query.shown.all() and key.shown.all()):
        return  # a cell that shows fill has no place to compare
    distance = np.linalg.norm(query.places[:, None] - key.places, axis=2)
    slack = 2**0.5 * TOLERANCE
    if not valid.any():  # no cell centre of either lies in the other view
        assert (
            np.abs(key.in_cells((query.places[:, None] - key.places).reshape(-1, 2)))
            .max(axis=1)
            .min()
            > 0.5 - key.tolerance
        )
        return
    rows = np.arange(len(chosen))
    assert valid.sum() == min(count, len(chosen))
    assert (distance[rows, chosen] < distance.min(axis=1) + slack).all()
    kept, dropped = distance.min(axis=1)[valid], distance.min(axis=1)[~valid]
    assert not len(dropped) or kept.max() < dropped.min() + slack
    # Where the other view shows the place, the match is within half a cell's diagonal of it.
    diagonal = float(cell_diagonals(key.features.view, key.grid))
    inside = matched(GeometricNearest(), query, key).valid_BS[0].numpy()
    assert (distance[rows, chosen][inside] < diagonal / 2 + slack).all()
