"""What is salient, from the provider through crops and geometry to the batch and the log."""

import numpy as np
import pytest
import torch
from fakes import MOCO, NoiseSource, NoiseStream
from torch.utils.data import DataLoader

from dense_cl.errors import DenseCLError
from dense_cl.regions.provider import IndexedProvider, RegionProvider
from dense_cl.regions.providers import Grid
from dense_cl.regions.regions import ImageRegions
from dense_cl.views.batch import UNCONSTRAINED, ViewBatch, crop_rates
from dense_cl.views.collate import collate_views
from dense_cl.views.dataset import StreamViewDataset, ViewDataset

CROP = dict(type="SaliencyCrop", component="uniform", scale=(0.1, 0.5))
VIEWS = [
    dict(type="ViewGroup", count=2, size=(24, 32), crop=CROP, transforms=MOCO),
    dict(type="ViewGroup", count=2, size=(12, 16), crops_of=0),
    dict(type="ViewGroup", count=1, size=(16, 16), crop=dict(type="WholeImage")),
]


class Bright(RegionProvider):
    """Salient is what is bright on the left: region 0 above, 1 below. Nothing in odd images."""

    def __init__(self, shrink: tuple[int, int] = (1, 1)) -> None:
        self.shrink = shrink

    def __call__(self, image, index):
        ids = np.full(image.shape[:2], -1, np.int16)
        left = image[:, : image.shape[1] // 2, 0] > 100
        half = len(ids) // 2
        if index % 2 == 0:
            ids[:half, : left.shape[1]][left[:half]] = 0
            ids[half:, : left.shape[1]][left[half:]] = 1
        return ImageRegions(ids[:: self.shrink[0], :: self.shrink[1]])


class Numbered(Bright, IndexedProvider):
    def bind(self, source):
        self.images = len(source)


def test_views_carry_what_is_salient_at_their_pixels_and_how_their_crops_came_about():
    dataset = ViewDataset(NoiseSource(6), VIEWS, saliency=Bright())
    batch = collate_views([dataset[(1, index)] for index in range(6)])
    for view in batch["views"]:
        assert view.saliency.dtype == torch.bool
        assert view.saliency.shape == (6, *view.view_size)
        assert view.saliency[::2].flatten(1).any(dim=1).all() and not view.saliency[1::2].any()
    tries = torch.stack([view.crop_tries for view in batch["views"][:4]])
    assert (tries[:, 1::2] == UNCONSTRAINED).all() and (tries[:, ::2] != UNCONSTRAINED).all()
    assert torch.equal(tries[:2], tries[2:])  # the second group takes the crops of the first
    assert batch["views"][4].crop_tries is None
    # The whole image at half its size: the pixel under each centre.
    for row in range(6):
        height, width = batch["views"][4].source_size[row].tolist()
        ids = dataset.objects(dataset.source.load(row), row)
        rows, columns = ((np.arange(16) + 0.5) * side / 16 for side in (height, width))
        expected = ids[np.ix_(rows.astype(int), columns.astype(int))] >= 0
        np.testing.assert_array_equal(batch["views"][4].saliency[row], expected)


def test_saliency_is_that_of_the_pixels_under_flips_and_crops():
    """With the image itself as the mask, the view's mask is its thresholded image."""
    group = dict(
        type="ViewGroup", count=2, size=(30, 40), crop=None,
        transforms=[dict(type="RandomCrop", height=30, width=40),
                    dict(type="HorizontalFlip", p=0.5)],
    )  # fmt: skip

    class Red(RegionProvider):
        def __call__(self, image, index):
            return ImageRegions(np.where(image[..., 0] > 128, 0, -1).astype(np.int16))

    dataset = ViewDataset(NoiseSource(5), [group], saliency=Red())
    for index in range(5):
        for view in dataset[index].views:
            np.testing.assert_array_equal(view.saliency, view.image[..., 0] > 128)


def test_the_same_whatever_the_workers():
    dataset = ViewDataset(NoiseSource(6), VIEWS, seed=3, saliency=Numbered())

    def load(order, workers):
        loader = DataLoader(
            dataset, 3, sampler=[(2, i) for i in order], num_workers=workers,
            collate_fn=collate_views,
        )  # fmt: skip
        return {
            index: (view.saliency[row], view.crop_tries[row], view.matrix[row])
            for batch in loader
            for view in batch["views"][:1]
            for row, index in enumerate(batch["index"].tolist())
        }

    first, second = load(range(6), 0), load([4, 1, 3, 0, 5, 2], 2)
    assert first.keys() == second.keys()
    for index, values in first.items():
        for a, b in zip(values, second[index], strict=True):
            assert torch.equal(a, b)


def test_without_a_provider_there_is_none():
    views = [dict(VIEWS[0], crop=dict(type="RandomResizedCrop"))]
    batch = collate_views([ViewDataset(NoiseSource(2), views)[i] for i in range(2)])
    assert batch["views"][0].saliency is None and batch["views"][0].crop_tries is None
    with pytest.raises(DenseCLError, match=r"SaliencyCrop.*dataset\.saliency"):
        ViewDataset(NoiseSource(2), VIEWS)


def test_a_plain_policy_ignores_what_is_salient():
    views = [dict(VIEWS[0], crop=dict(type="MinOverlapCrop"))]
    plain = ViewDataset(NoiseSource(2), views)[0].views
    given = ViewDataset(NoiseSource(2), views, saliency=Bright())[0].views
    for a, b in zip(plain, given, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        assert b.saliency is not None and b.crop_tries is None


@pytest.mark.parametrize("shrink", [(2, 2), (3, 3), (7, 7), (20, 20)])
def test_reduced_maps_of_the_same_shape_fit(shrink):
    dataset = ViewDataset(NoiseSource(12), VIEWS, saliency=Bright(shrink))
    for index in range(12):
        dataset[index]


@pytest.mark.parametrize("shrink", [(1, 2), (2, 1), (4, 5)])
def test_maps_of_another_shape_are_one_clear_error(shrink):
    dataset = ViewDataset(NoiseSource(1), VIEWS, saliency=Bright(shrink))
    with pytest.raises(DenseCLError, match=r"saliency Bright.*aspect ratio.*noise/0\.png"):
        dataset[0]


def test_boxes_alone_are_refused():
    class Boxes(Grid):
        def __call__(self, image, index):
            return ImageRegions(boxes=super().__call__(image, index).boxes)

    with pytest.raises(DenseCLError, match="boxes only"):
        ViewDataset(NoiseSource(1), VIEWS, saliency=Boxes())[0]


def test_streams_take_providers_that_look_at_the_image_alone():
    dataset = StreamViewDataset(NoiseStream(), VIEWS, saliency=Bright())
    batch = collate_views(list(dataset))
    assert batch["views"][0].saliency.shape == (len(batch["index"]), 24, 32)
    with pytest.raises(DenseCLError, match="Numbered go by the index"):
        StreamViewDataset(NoiseStream(), VIEWS, saliency=Numbered())
    bound = Numbered()
    ViewDataset(NoiseSource(3), VIEWS, saliency=bound)
    assert bound.images == 3


def test_batches_move_and_are_pinned_whole():
    dataset = ViewDataset(NoiseSource(2), VIEWS, regions=Grid(), saliency=Bright())
    view = collate_views([dataset[i] for i in range(2)])["views"][0]
    moved = view.to("meta")
    for name in ("image", "matrix", "source_size", "saliency", "crop_tries"):
        assert getattr(moved, name).device.type == "meta", name
    assert moved.regions.label_map.device.type == "meta"
    assert moved.view_size == view.view_size


def test_rates_are_shares_of_the_counted_crops():
    def view(tries):
        empty = torch.empty(0)
        return ViewBatch(empty, empty, empty, (1, 1), crop_tries=tries)

    tries = [torch.tensor([1, 1, 4, -1]), None, torch.tensor([1, 0, 0, 0])]
    rates = crop_rates([view(t) for t in tries])
    assert {name: float(rate) for name, rate in rates.items()} == {
        "crop_first_try": 3 / 8, "crop_retry": 1 / 8, "crop_constructed": 1 / 8,
        "crop_unconstrained": 3 / 8,
    }  # fmt: skip
    assert crop_rates([view(None)]) == {}
