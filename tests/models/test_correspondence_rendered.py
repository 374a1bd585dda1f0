"""Matches against what was rendered: a picture whose colours are the coordinates of its pixels."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.models.correspondence import DistanceThreshold, GeometricNearest, KBestLocations
from dense_cl.models.correspondence.geometric import cell_diagonals
from dense_cl.models.features import ViewFeatures
from dense_cl.views.collate import collate_views
from dense_cl.views.dataset import Sample
from dense_cl.views.geometry import grid_centres
from dense_cl.views.group import ViewGroup

TOLERANCE = 1.0  # source pixels: colours are whole numbers, and so is what was read off them
TURNS = [
    dict(type="HorizontalFlip", p=0.5),
    dict(type="VerticalFlip", p=0.5),
    dict(type="Rotate", limit=40, border_mode=0, p=0.5),
]


class Rendered:
    """A view of the picture, and the place in the source that each cell's centre shows.

    Attributes:
        places: as read off the view, without the share of fill in it.
        share: of the photo in what was read; the rest is fill.
        slack: by how many source pixels places may be wrong: more by a border of fill.
        whole: nothing of the centre is fill.
        full: nothing of the cell is.
    """

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
        # Blue is everywhere but in fill, which is black: a border is a mixture of the two.
        self.share = colour[:, 2] / 255
        self.whole = np.min([p[:, 2] for p in patch], axis=0) == 255
        # The centre of pixel i is at i + 0.5.
        self.places = colour[:, :2] / np.maximum(self.share, 1e-9)[:, None] + 0.5
        pixel = np.linalg.norm(view.geometry.matrix[:, :2], 2)
        self.slack = TOLERANCE / 2 / np.maximum(self.share, 0.1) + np.where(self.whole, 0, pixel)
        self.full = full_cells(image[..., 2] == 255, grid)
        self.geometry, self.grid, self.cells = view.geometry, grid, np.divide(size, grid)[::-1]
        (batch,) = collate_views([Sample([view], 0, "picture")])["views"]
        self.features = ViewFeatures((), batch)

    def in_cells(self, offset):
        """A difference of source places, (N, 2), in cells along the sides of this view."""
        return offset @ np.linalg.inv(self.geometry.matrix[:, :2]).T / self.cells

    def tolerance(self, slack):
        """So many source pixels along either side in cells, at most."""
        zoom = np.linalg.norm(np.linalg.inv(self.geometry.matrix[:, :2]), 2)
        return slack * 2**0.5 * zoom / self.cells.min()


def full_cells(photo, grid):
    """Tell which cells of a grid hold not a pixel of fill."""
    rows, columns = (
        [(int(n * i / cells), -int(-n * (i + 1) // cells)) for i in range(cells)]
        for n, cells in zip(photo.shape, grid, strict=True)
    )
    return np.array(
        [photo[top:end, left:right].all() for top, end in rows for left, right in columns]
    )


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


def partners(match):
    """Cells with a partner, and the partners."""
    rows = np.flatnonzero(match.valid_BS[0].numpy())
    return rows, match.indices_BS[0].numpy()[rows]


def show_photo(query, rows, key, chosen):
    """A pair's centres are not fill; in a corner of the photo a quarter of what is read is not."""
    assert (query.share[rows] > 0.1).all() and (key.share[chosen] > 0.1).all()


@settings(max_examples=40)
@given(rendered_pairs())
def test_geometric_nearest_lands_within_half_a_cell(pair):
    query, key = pair
    match = matched(GeometricNearest(), query, key)
    rows, chosen = partners(match)
    show_photo(query, rows, key, chosen)
    off = np.abs(key.in_cells(query.places[rows] - key.places[chosen])).max(axis=1)
    assert (off < 0.5 + key.tolerance(query.slack[rows] + key.slack[chosen])).all()
    # What is left out lies, as rendered, in no cell of the key view that is full of photo.
    missed = ~match.valid_BS[0].numpy() & query.whole
    offset = query.places[missed][:, None] - key.places[key.full]
    offset = np.abs(key.in_cells(offset.reshape(-1, 2))).max(axis=1)
    assert (offset > 0.5 - key.tolerance(TOLERANCE)).all()


@settings(max_examples=40)
@given(rendered_pairs())
def test_threshold_pairs_are_those_of_the_rendered_distance(pair):
    query, key = pair
    near = matched(DistanceThreshold(0.7), query, key).weights_BST[0].numpy()
    show_photo(query, near.any(axis=1), key, near.any(axis=0))
    distance = np.linalg.norm(query.places[:, None] - key.places, axis=2)
    diagonals = [float(cell_diagonals(side.features.view, side.grid)) for side in pair]
    limit = 0.7 * max(diagonals)
    slack = 2**0.5 * (query.slack[:, None] + key.slack)
    assert (distance - slack < limit)[near].all()
    assert (distance + slack > limit)[~near & query.whole[:, None] & key.whole].all()


@settings(max_examples=40)
@given(rendered_pairs(), st.integers(1, 12))
def test_kept_places_are_the_closest_within_half_a_cell(pair, count):
    query, key = pair
    rows, chosen = partners(matched(KBestLocations(count), query, key))
    show_photo(query, rows, key, chosen)
    off = np.abs(key.in_cells(query.places[rows] - key.places[chosen])).max(axis=1)
    assert (off < 0.5 + key.tolerance(query.slack[rows] + key.slack[chosen])).all()
    # Without a limit to their number, they are those of the cells that cover the places.
    possible = matched(KBestLocations(-1), query, key)
    covering = matched(GeometricNearest(), query, key)
    assert torch.equal(possible.valid_BS, covering.valid_BS)
    assert np.isin(rows, partners(possible)[0]).all()
    assert len(rows) == min(count, int(possible.valid_BS.sum()))
    rest, others = (side[~np.isin(partners(possible)[0], rows)] for side in partners(possible))
    kept = np.linalg.norm(query.places[rows] - key.places[chosen], axis=1)
    left = np.linalg.norm(query.places[rest] - key.places[others], axis=1)
    kept -= 2**0.5 * (query.slack[rows] + key.slack[chosen])
    left += 2**0.5 * (query.slack[rest] + key.slack[others])
    assert not len(left) or kept.max() < left.min()


@settings(max_examples=40)
@given(rendered_pairs(), st.integers(1, 12))
def test_at_any_distance_the_closest_places_are_kept(pair, count):
    query, key = pair
    match = matched(KBestLocations(count, any_distance=True), query, key)
    rows, chosen = partners(match)
    show_photo(query, rows, key, chosen)
    if matched(KBestLocations(-1), query, key).valid_BS.any():
        assert min(count, query.whole.sum()) <= len(rows) <= count
    distance = np.linalg.norm(query.places[:, None] - key.places[key.whole], axis=2)
    mine = np.linalg.norm(query.places[rows] - key.places[chosen], axis=1)
    mine -= 2**0.5 * (query.slack[rows] + key.slack[chosen])
    if key.whole.any() and len(rows):
        assert (mine < distance[rows].min(axis=1) + 2**0.5 * TOLERANCE).all()
        dropped = query.whole & ~match.valid_BS[0].numpy()
        if dropped.any():
            assert mine.max() < distance[dropped].min() + 2**0.5 * TOLERANCE
