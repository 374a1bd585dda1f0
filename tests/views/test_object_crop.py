"""Crops of plain shapes that are placed on one object."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.errors import DenseCLError
from dense_cl.views.batch import UNCONSTRAINED
from dense_cl.views.crops import RandomResizedCrop
from dense_cl.views.object_crop import ObjectCrop

SIDE = st.integers(8, 60)


def sides(crops):
    return [(c.box[2] - c.box[0], c.box[3] - c.box[1]) for c in crops]


def shown_at_all_places(mask, width, height):
    """Pixels of the mask in the boxes of this size at every place, by sums of slices."""
    integral = np.zeros(np.add(mask.shape, 1), int)
    integral[1:, 1:] = mask.cumsum(axis=0).cumsum(axis=1)
    rows = integral[height:] - integral[:-height]
    return rows[:, width:] - rows[:, :-width]


@settings(max_examples=100)
@given(
    SIDE, SIDE, st.floats(0, 1), st.sampled_from([None, "largest"]), st.floats(0.02, 0.5),
    st.integers(0, 2**31),
)  # fmt: skip
def test_boxes_are_plain_ones_moved_to_where_they_show_enough(
    height, width, part, component, density, seed
):
    rng = np.random.default_rng(seed)
    size = (height, width)
    ids = np.where(rng.random(size) < density, rng.integers(0, 3, size), -1).astype(np.int16)
    policy = ObjectCrop(part, component, scale=(0.1, 0.6))
    crops = policy.sample(size, 3, random.Random(seed), ids)
    plain = RandomResizedCrop((0.1, 0.6)).sample(size, 3, random.Random(seed))
    assert crops == policy.sample(size, 3, random.Random(seed), ids)
    if not (ids >= 0).any():
        assert [c.box for c in crops] == [c.box for c in plain]
        assert [c.tries for c in crops] == [UNCONSTRAINED] * 3
        return
    assert sides(crops) == sides(plain) and [c.tries for c in crops] == [1] * 3
    mask = ids >= 0 if component is None else ids == np.bincount(ids[ids >= 0]).argmax()
    for (x1, y1, x2, y2), _ in crops:
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
        most = shown_at_all_places(mask, x2 - x1, y2 - y1).max()
        assert mask[y1:y2, x1:x2].sum() >= part * most - 1e-3


def test_every_place_that_shows_enough_has_the_same_chance():
    """A box of 20 pixels around an object of 10 has 11 places along each axis."""
    ids = np.full((40, 40), -1, np.int16)
    ids[15:25, 12:22] = 0
    policy = ObjectCrop(1.0, scale=(0.25, 0.25), ratio=(1, 1))
    rng = random.Random(0)
    boxes = np.array([c.box for c in policy.sample((40, 40), 6000, rng, ids)])
    for axis, first in ((0, 2), (1, 5)):
        starts, counts = np.unique(boxes[:, axis], return_counts=True)
        assert starts.tolist() == list(range(first, first + 11))
        assert np.abs(counts / 6000 - 1 / 11).max() < 4 * np.sqrt(1 / 11 / 6000)


def test_all_views_show_the_same_object_whatever_their_size():
    """Two objects in opposite corners; boxes too small for both, and some for one."""
    ids = np.full((100, 100), -1, np.int16)
    ids[:40, :40], ids[60:, 60:] = 0, 1
    policy = ObjectCrop(0.8, "uniform", scale=(0.05, 0.3))
    chosen = []
    for seed in range(60):
        crops = policy.sample((100, 100), 2, random.Random(seed), ids)
        shown = [[(ids[y1:y2, x1:x2] == n).sum() for n in (0, 1)] for (x1, y1, x2, y2), _ in crops]
        most = [min(w, 40) * min(h, 40) for w, h in sides(crops)]
        shared = [
            n for n in (0, 1) if all(s[n] >= 0.8 * m for s, m in zip(shown, most, strict=True))
        ]
        assert shared, "no object that both show"
        chosen.append(shared[0])
    assert 15 < sum(chosen) < 45


@pytest.mark.parametrize(
    "options", [dict(min_cover=1.5), dict(component="any"), dict(scale=(0, 1))]
)
def test_impossible_options_are_refused(options):
    with pytest.raises(DenseCLError, match="min_cover|component|scale"):
        ObjectCrop(**options)
