"""Regions in views against the pixels that were rendered there."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter, minimum_filter

from dense_cl.errors import DenseCLError
from dense_cl.regions.in_view import regions_in_view, stack_regions
from dense_cl.regions.provider import IndexedProvider, RegionProvider
from dense_cl.regions.providers import Grid
from dense_cl.regions.regions import ImageRegions, ViewRegions
from dense_cl.sources.base import ImageSource, StreamingSource
from dense_cl.views.collate import collate_views
from dense_cl.views.dataset import StreamViewDataset, ViewDataset
from dense_cl.views.geometry import ViewGeometry, grid_centres, inside
from dense_cl.views.group import ViewGroup

STEP = 20  # grey levels between two regions; 0 is what a transform fills in
TRANSFORMS = {
    "flip": dict(type="HorizontalFlip", p=1),
    "vertical flip": dict(type="VerticalFlip", p=1),
    "transpose": dict(type="Transpose", p=1),
    "affine": dict(type="Affine", rotate=(-60, 60), scale=(0.6, 1.6), shear=(-12, 12), p=1),
}
SIZES = st.tuples(st.integers(60, 140), st.integers(60, 140))
CHAINS = st.lists(st.sampled_from(sorted(TRANSFORMS)), max_size=3, unique=True)


def painted(size, grid) -> np.ndarray:
    """An image whose grey is (1 + id) * STEP of the regions of a grid."""
    regions = Grid(*grid)(np.zeros((*size, 3), np.uint8), 0)
    small = regions.label_map
    whole = ViewGeometry.from_box((0, 0, size[1], size[0]), small.shape, size)
    ids = whole.map_mask_to(ViewGeometry.identity(size), small)
    return np.repeat(((ids + 1) * STEP).astype(np.uint8)[..., None], 3, axis=2)


class Painted(ImageSource):
    """Images painted by their regions, of different sizes."""

    def __init__(self, sizes, grid):
        self.sizes, self.grid = sizes, grid

    def __len__(self):
        return len(self.sizes)

    def name(self, index):
        return f"painted/{index}"

    def load(self, index):
        return painted(self.sizes[index], self.grid)

    def fingerprint(self):
        return "painted"


def away_from_borders(ids, geometry) -> np.ndarray:
    """Where all pixels around are of one region, so that interpolation has nothing to mix."""
    zoom = 1 / np.linalg.svd(geometry.matrix[:, :2])[1].min()  # view pixels a source pixel takes
    size = 2 * int(np.ceil(zoom) + 2) + 1
    beyond = dict(mode="constant", cval=-5)  # nobody knows what comes there
    return maximum_filter(ids, size, **beyond) == minimum_filter(ids, size, **beyond)


def views_of(size, view_size, names, seed, grid=(3, 4)):
    group = ViewGroup(
        count=2,
        size=view_size,
        crop=dict(type="RandomResizedCrop", scale=(0.2, 1.0)),
        transforms=[
            *(TRANSFORMS[name] for name in names),
            dict(type="Resize", height=view_size[0], width=view_size[1], p=1),
        ],
    )
    return ViewDataset(Painted([size], grid), [group], seed=seed, regions=Grid(*grid))[0].views


@settings(max_examples=30)
@given(SIZES, SIZES, CHAINS, st.integers(0, 2**31))
def test_a_pixel_of_a_view_has_the_id_of_what_was_rendered_there(size, view_size, names, seed):
    checked = 0
    for view in views_of(size, view_size, names, seed):
        ids = view.regions.label_map
        plain = away_from_borders(ids, view.geometry)
        expected = (ids.astype(int) + 1) * STEP
        assert np.abs(view.image[..., 0].astype(int) - expected)[plain].max(initial=0) <= 1
        checked += plain.sum()
    assert checked > 0


@settings(max_examples=30)
@given(SIZES, SIZES, CHAINS, st.integers(0, 2**31))
def test_boxes_and_their_shares_are_those_of_the_pixels(size, view_size, names, seed):
    for view in views_of(size, view_size, names, seed):
        regions, geometry = view.regions, view.geometry
        assert regions.boxes.shape == (12, 4) and regions.visible.shape == (12,)
        pixel_area = abs(np.linalg.det(geometry.matrix[:, :2]))
        box_area = size[0] * size[1] / 12
        for number, (box, visible) in enumerate(zip(regions.boxes, regions.visible, strict=True)):
            rows, columns = np.nonzero(regions.label_map == number)
            outline = 2 * np.sqrt(box_area / pixel_area) + 2  # pixels that the border may cut
            assert abs(len(rows) - visible * box_area / pixel_area) <= outline
            if len(rows):
                seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                margin = np.array([-1, -1, 1, 1]) * 0.51
                assert (np.sign(margin) * (box + margin - seen) >= 0).all()
            if not names and len(rows):  # a crop: the box is no larger than its pixels either
                assert np.abs(box - seen).max() <= 1


@settings(max_examples=30)
@given(SIZES, SIZES, st.tuples(st.integers(1, 200), st.integers(1, 200)), CHAINS,
       st.integers(0, 2**31))  # fmt: skip
def test_label_maps_of_any_resolution_are_looked_up_at_pixel_centres(
    size, view_size, resolution, names, seed
):
    label_map = np.random.default_rng(seed).integers(-1, 50, resolution).astype(np.int16)
    for view in views_of(size, view_size, names, seed):
        shown = regions_in_view(ImageRegions(label_map), view.geometry).label_map
        points = view.geometry.to_source(grid_centres(view_size, view_size))
        cells = points / size[::-1] * resolution[::-1]
        away = (np.abs(cells - np.round(cells)) > 1e-6).all(axis=1)  # rounding decides there
        seen = view.geometry.contains(points) & inside(points, size)
        column, row = np.floor(cells[seen & away]).astype(int).T
        assert (shown.ravel()[seen & away] == label_map[row, column]).all()
        assert (shown.ravel()[~seen & away] == -1).all()


@settings(max_examples=25)
@given(SIZES, CHAINS, st.integers(0, 2**31))
def test_two_views_agree_on_the_id_of_a_place(size, names, seed):
    first, second = views_of(size, (64, 80), names, seed)
    there = first.geometry.map_mask_to(second.geometry, first.regions.label_map, fill=-9)
    both = (there > -1) & (second.regions.label_map > -1)
    known = both & away_from_borders(there, second.geometry)
    assert (there == second.regions.label_map)[known].all()


def test_ids_never_cross_images_and_rows_are_filled_up_with_zeros():
    class ByImage(RegionProvider):
        """As many boxes, and as large ids, as the index says."""

        def __call__(self, image, index):
            height, width = image.shape[:2]
            boxes = np.array([[0, 0, width, height]] * (index + 1), np.float32)
            return ImageRegions(np.full((1, 1), index, np.int16), boxes)

        def settings(self):
            return {}

    source = Painted([(40, 50), (60, 30), (50, 50)], (1, 1))
    group = ViewGroup(count=2, size=(16, 20), crop=dict(type="WholeImage"))
    dataset = ViewDataset(source, [group], regions=ByImage())
    batch = collate_views([dataset[index] for index in (2, 0, 1)])
    for view in batch["views"]:
        regions = view.regions
        assert regions.label_map.dtype == torch.int16
        assert regions.label_map.amin((1, 2)).tolist() == [2, 0, 1]
        assert regions.label_map.amax((1, 2)).tolist() == [2, 0, 1]
        assert regions.visible.tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
        assert regions.boxes[1].tolist() == [[0, 0, 20, 16], [0] * 4, [0] * 4]


def test_without_a_provider_nothing_is_carried():
    source = Painted([(40, 50)], (1, 1))
    dataset = ViewDataset(source, [ViewGroup(count=1, size=(8, 8), crop=dict(type="WholeImage"))])
    assert dataset[0].views[0].regions is None
    assert collate_views([dataset[0]])["views"][0].regions is None


def test_a_provider_that_changes_its_mind_is_refused():
    boxes, label_map = np.zeros((1, 4), np.float32), np.zeros((2, 2), np.int16)
    with pytest.raises(DenseCLError, match="boxes for 1 of 2 images"):
        stack_regions([ViewRegions(label_map, boxes, boxes[:, 0]), ViewRegions(label_map)])


class Stream(StreamingSource):
    epoch_size = 1

    def iterate(self, epoch, seed, rank=0, world_size=1, worker=0, num_workers=1):
        yield "one", painted((40, 60), (3, 4))

    def fingerprint(self):
        return "stream"


def test_streams_take_providers_that_look_at_the_image_and_refuse_others_by_name():
    views = [dict(type="ViewGroup", count=1, size=(12, 16), crop=dict(type="WholeImage"))]
    dataset = StreamViewDataset(Stream(), views, regions=dict(type="Grid", rows=3, columns=4))
    (sample,) = dataset
    expected = np.repeat(np.repeat(np.arange(12).reshape(3, 4), 4, axis=0), 4, axis=1)
    np.testing.assert_array_equal(sample.views[0].regions.label_map, expected)

    class ByIndex(IndexedProvider):
        def bind(self, source): ...
        def settings(self): ...
        def __call__(self, image, index): ...

    with pytest.raises(DenseCLError, match="regions ByIndex go by the index"):
        StreamViewDataset(Stream(), views, regions=ByIndex())
