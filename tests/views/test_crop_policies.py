"""Crop policies that relate the views of a group, and groups that share crops."""

import random

import numpy as np
import pytest
from fakes import NoiseSource
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.errors import DenseCLError
from dense_cl.views.crops import MinOverlapCrop, MultiScaleCrop, RandomResizedCrop, overlap_share
from dense_cl.views.dataset import ViewDataset
from dense_cl.views.group import ViewGroup


def brute_overlap(first, second) -> float:
    canvas = np.zeros((300, 300), int)
    for x1, y1, x2, y2 in (first, second):
        canvas[y1:y2, x1:x2] += 1
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (first, second)]
    return (canvas == 2).sum() / min(areas)


def boxes_of(policy, size, count, seed):
    return [crop.box for crop in policy.sample(size, count, random.Random(seed))]


@settings(max_examples=150)
@given(
    st.integers(1, 300), st.integers(1, 300), st.floats(0, 1), st.integers(1, 3),
    st.floats(0.01, 0.5), st.integers(0, 2**31),
)  # fmt: skip
def test_the_overlap_is_there_for_every_image(height, width, least, tries, smallest, seed):
    policy = MinOverlapCrop(least, tries, scale=(smallest, 1.0), ratio=(1 / 3, 3))
    first, *others = boxes_of(policy, (height, width), 3, seed)
    for box in (first, *others):
        assert 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height
    for box in others:
        share = brute_overlap(first, box)
        assert share >= least
        assert overlap_share(first, box) == pytest.approx(share)


def test_a_moved_box_goes_no_farther_than_needed_and_keeps_its_size():
    policy = MinOverlapCrop(0.5, tries=1, scale=(0.02, 0.04), ratio=(1, 1))
    shares, sizes = [], []
    for seed in range(200):
        first, second = boxes_of(policy, (200, 200), 2, seed)
        plain = RandomResizedCrop(scale=(0.02, 0.04), ratio=(1, 1))
        drawn = boxes_of(plain, (200, 200), 2, seed)[1]
        sizes.append((second[2] - second[0]) == (drawn[2] - drawn[0]))
        if overlap_share(first, drawn) < 0.5:
            shares.append(overlap_share(first, second))
    assert all(sizes) and len(shares) > 100
    assert 0.5 <= min(shares) and np.median(shares) < 0.56  # a pixel of 28 is worth 4 %


def test_no_minimum_is_the_plain_policy():
    for seed in range(20):
        plain = RandomResizedCrop().sample((90, 120), 3, random.Random(seed))
        assert MinOverlapCrop(0.0).sample((90, 120), 3, random.Random(seed)) == plain


def test_each_view_has_its_own_range_of_areas():
    policy = MultiScaleCrop([(0.5, 1.0), (0.05, 0.1)])
    for seed in range(50):
        large, small = boxes_of(policy, (200, 200), 2, seed)
        areas = [(x2 - x1) * (y2 - y1) / 40000 for x1, y1, x2, y2 in (large, small)]
        assert 0.49 <= areas[0] <= 1 and 0.045 <= areas[1] <= 0.105
    with pytest.raises(DenseCLError, match="2 scales for 3 views"):
        policy.sample((200, 200), 3, random.Random(0))


@pytest.mark.parametrize("options", [dict(min_overlap=1.2), dict(tries=0), dict(ratio=(2, 1))])
def test_impossible_options_are_refused(options):
    with pytest.raises(DenseCLError, match="overlap|tries|ratio"):
        MinOverlapCrop(**options)


def group(**options):
    return dict(type="ViewGroup", **options)


def test_shared_transforms_draw_the_same_for_all_views_of_a_group():
    flips = [dict(type="HorizontalFlip", p=0.5), dict(type="VerticalFlip", p=0.5)]
    crop = dict(type="RandomResizedCrop")
    shared = ViewDataset(NoiseSource(40), [group(count=2, size=(8, 8), crop=crop, shared=flips)])
    apart = ViewDataset(NoiseSource(40), [group(count=2, size=(8, 8), crop=crop, transforms=flips)])

    def signs(dataset):
        return np.array([
            [np.sign(np.diag(v.geometry.matrix[:, :2])) for v in dataset[index].views]
            for index in range(40)
        ])  # fmt: skip

    together, independent = signs(shared), signs(apart)
    assert (together[:, 0] == together[:, 1]).all()
    assert len(np.unique(together[:, 0], axis=0)) == 4  # all four flips occur
    assert 0.2 < (independent[:, 0] == independent[:, 1]).all(axis=1).mean() < 0.6


def test_shared_transforms_come_first_and_leave_the_others_as_they_were():
    jitter = dict(type="ColorJitter", brightness=0.4, p=1)
    views = [group(count=2, size=(8, 8), crop=dict(type="WholeImage"), transforms=[jitter])]
    plain = ViewDataset(NoiseSource(3), views)[0].views
    flipped = [dict(views[0], shared=[dict(type="HorizontalFlip", p=1)])]
    for before, after in zip(plain, ViewDataset(NoiseSource(3), flipped)[0].views, strict=True):
        np.testing.assert_array_equal(before.image[:, ::-1], after.image)


def test_a_group_takes_the_crops_of_an_earlier_one_at_another_size():
    crop = dict(type="RandomResizedCrop", scale=(0.1, 0.5))
    dataset = ViewDataset(
        NoiseSource(8),
        [
            group(count=1, size=(16, 16), crop=dict(type="WholeImage")),
            group(count=2, size=(32, 32), crop=crop),
            group(count=2, size=(8, 8), crops_of=1,
                  transforms=[dict(type="HorizontalFlip", p=0.5)]),
        ],
    )  # fmt: skip
    outlines = set()
    for index in range(8):
        _, *rest = dataset[(3, index)].views
        for large, small in zip(rest[:2], rest[2:], strict=True):
            boxes = [np.sort(view.geometry.outline(), axis=0)[[0, -1]] for view in (large, small)]
            np.testing.assert_allclose(boxes[0], boxes[1], atol=1e-9)
            outlines.add(boxes[0].tobytes())
    assert len(outlines) == 16  # every crop another


@pytest.mark.parametrize(
    "views, reason",
    [
        ([group(count=1, size=(8, 8), crops_of=0)], "no earlier group"),
        ([group(count=1, size=(8, 8)), group(count=1, size=(8, 8), crops_of=0)], "crop of its own"),
        ([group(count=1, size=(8, 8), crop=dict(type="WholeImage")),
          group(count=2, size=(8, 8), crops_of=0)], "count=2"),
        ([group(count=1, size=(8, 8), crop=dict(type="WholeImage"), crops_of=0)], "not both"),
    ],
)  # fmt: skip
def test_crops_of_what_has_none_to_give_is_refused(views, reason):
    with pytest.raises(DenseCLError, match=reason):
        ViewDataset(NoiseSource(1), views)


def test_a_group_serves_several_data_sets():
    groups = [
        ViewGroup(count=1, size=(8, 8), crop=dict(type="RandomResizedCrop")),
        ViewGroup(count=1, size=(4, 4), crops_of=0),
    ]
    first, second = (ViewDataset(NoiseSource(2), groups)[1].views for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
