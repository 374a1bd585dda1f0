import numpy as np
import pytest
import torch
from fakes import MOCO, NoiseSource, NoiseStream
from torch.utils.data import DataLoader

from dense_cl.errors import DenseCLError
from dense_cl.registry import DATASETS, FUNCTIONS, SOURCES
from dense_cl.views.collate import collate_views
from dense_cl.views.dataset import Sample, StreamViewDataset, Unreadable, ViewDataset
from dense_cl.views.group import ViewGroup

VIEWS = [
    dict(
        type="ViewGroup",
        count=2,
        size=(24, 32),
        crop=dict(type="RandomResizedCrop"),
        transforms=MOCO,
    ),
    dict(type="ViewGroup", count=1, size=(16, 16), crop=dict(type="RandomResizedCrop")),
]


def by_index(loader):
    """{index: (images of all views, matrices of all views)} of everything a loader yields."""
    return {
        index: [(view.image[row], view.matrix[row]) for view in batch["views"]]
        for batch in loader
        for row, index in enumerate(batch["index"].tolist())
    }


def assert_same(first, second):
    assert first.keys() == second.keys()
    for index in first:
        for (image_a, matrix_a), (image_b, matrix_b) in zip(
            first[index], second[index], strict=True
        ):
            assert torch.equal(image_a, image_b) and torch.equal(matrix_a, matrix_b)


def test_built_from_config_and_shapes():
    dataset = DATASETS.build(dict(type="ViewDataset", source=NoiseSource(3), views=VIEWS, seed=1))
    batch = FUNCTIONS.get("collate_views")([dataset[(0, i)] for i in range(3)])
    assert [tuple(v.image.shape) for v in batch["views"]] == [
        (3, 24, 32, 3),
        (3, 24, 32, 3),
        (3, 16, 16, 3),
    ]
    first = batch["views"][0]
    assert first.image.dtype == torch.uint8 and first.image.is_contiguous()
    assert first.matrix.dtype == torch.float64 and first.matrix.shape == (3, 2, 3)
    assert first.view_size == (24, 32)
    expected = [list(dataset.source.load(i).shape[:2]) for i in range(3)]
    assert first.source_size.tolist() == expected
    assert batch["index"].tolist() == [0, 1, 2] and batch["unreadable"] == []
    assert len(dataset) == 3


def test_the_same_views_whatever_the_workers_and_the_order():
    dataset = ViewDataset(NoiseSource(8, broken=(3,)), VIEWS, seed=4)
    keys = [(2, index) for index in range(8)]

    def load(keys, workers, batch):
        return by_index(
            DataLoader(dataset, batch, sampler=keys, num_workers=workers, collate_fn=collate_views)
        )

    alone = load(keys, 0, 4)
    assert sorted(alone) == [0, 1, 2, 4, 5, 6, 7]
    assert_same(alone, load(keys[::-1], 1, 3))
    assert_same(alone, load([keys[i] for i in (5, 0, 7, 3, 1, 6, 2, 4)], 2, 2))
    other_epoch = load([(3, index) for index in range(8)], 0, 4)
    other_seed = by_index([collate_views([ViewDataset(dataset.source, VIEWS, 5)[(2, 0)]])])
    for index, other in ((1, other_epoch), (0, other_seed)):
        assert not torch.equal(alone[index][0][0], other[index][0][0])


def test_a_bare_index_is_epoch_zero():
    dataset = ViewDataset(NoiseSource(), VIEWS)
    np.testing.assert_array_equal(dataset[1].views[0].image, dataset[(0, 1)].views[0].image)


def test_unreadable_files_are_left_out_and_named():
    dataset = ViewDataset(NoiseSource(4, broken=(1, 2)), VIEWS)
    assert dataset[1] == Unreadable(1, "noise/1.png", "truncated")
    batch = collate_views([dataset[i] for i in range(4)])
    assert batch["index"].tolist() == [0, 3]
    assert all(len(view.image) == 2 for view in batch["views"])
    assert batch["unreadable"] == [("noise/1.png", "truncated"), ("noise/2.png", "truncated")]
    empty = collate_views([dataset[1], dataset[2]])
    assert empty["views"] == [] and empty["index"].shape == (0,) and len(empty["unreadable"]) == 2
    assert empty["index"].dtype == torch.int64


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_the_pipeline_names_the_file(workers):
    class Broken(ViewGroup):
        def __call__(self, image, key, objects=None):
            raise ZeroDivisionError("oops")

    dataset = ViewDataset(NoiseSource(2), [Broken(count=1, size=(8, 8))])
    loader = DataLoader(dataset, 1, num_workers=workers, collate_fn=collate_views)
    with pytest.raises(DenseCLError, match=r"(?s)noise/0\.png.*ZeroDivisionError.*oops"):
        next(iter(loader))
    misfit = ViewDataset(NoiseSource(1), [ViewGroup(count=1, size=(8, 8))])
    with pytest.raises(DenseCLError, match=r"Resize.*noise/0\.png"):
        misfit[0]


def test_streams_and_indexed_sources_are_not_confused():
    with pytest.raises(DenseCLError, match="NoiseStream is read as a stream.*StreamViewDataset"):
        ViewDataset(NoiseStream(), VIEWS)
    with pytest.raises(DenseCLError, match="NoiseSource is read by index.*'ViewDataset'"):
        StreamViewDataset(NoiseSource(), VIEWS)
    with pytest.raises(DenseCLError, match="views is empty"):
        ViewDataset(NoiseSource(), [])


def test_a_source_config_is_built():
    SOURCES.register_module(module=NoiseSource)
    try:
        assert len(ViewDataset(dict(type="NoiseSource", count=5), VIEWS)) == 5
    finally:
        SOURCES.module_dict.pop("NoiseSource")


def test_a_stream_gives_the_same_views_whatever_the_workers():
    dataset = DATASETS.build(dict(type="StreamViewDataset", source=NoiseStream(9), views=VIEWS))
    assert len(dataset) == 9

    def load(workers):
        loader = DataLoader(dataset, 2, num_workers=workers, collate_fn=collate_views)
        batches = list(loader)
        return by_index(batches), sorted(n for b in batches for n, _ in b["unreadable"])

    alone, broken = load(0)
    assert len(alone) == 6 and broken == ["shard::0", "shard::3", "shard::6"]
    split, broken_again = load(2)
    assert_same(alone, split)
    assert broken_again == broken
    dataset.set_epoch(1)
    later, _ = load(0)
    assert later.keys() == alone.keys()
    assert not any(torch.equal(alone[i][0][0], later[i][0][0]) for i in alone)


def test_persistent_workers_see_the_epoch_of_a_stream_change():
    dataset = StreamViewDataset(NoiseStream(6), VIEWS[1:])
    loader = DataLoader(
        dataset, 2, num_workers=1, persistent_workers=True, collate_fn=collate_views
    )
    first = by_index(loader)
    dataset.set_epoch(1)
    second = by_index(loader)
    assert not any(torch.equal(first[i][0][0], second[i][0][0]) for i in first)
    dataset.set_epoch(0)
    assert_same(first, by_index(loader))


def test_samples_keep_name_and_views_in_group_order():
    sample = ViewDataset(NoiseSource(), VIEWS)[2]
    assert isinstance(sample, Sample) and sample.name == "noise/2.png" and sample.index == 2
    assert [view.geometry.view_size for view in sample.views] == [(24, 32), (24, 32), (16, 16)]
