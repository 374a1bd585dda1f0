"""Crops that show enough of what is salient: covers, acceptance, fallback, components."""

import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dense_cl.errors import DenseCLError
from dense_cl.views.batch import CONSTRUCTED, UNCONSTRAINED
from dense_cl.views.cover import Cover, chosen_mask, relaxed_cover
from dense_cl.views.crops import RandomResizedCrop
from dense_cl.views.geometry import ViewGeometry
from dense_cl.views.saliency_crop import Constraint, SaliencyCrop

SIDE = st.integers(1, 120)
SEED = st.integers(0, 2**31)


def label_map(height, width, *boxes):
    ids = np.full((height, width), -1, np.int16)
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        ids[y1:y2, x1:x2] = number
    return ids


def speckled(size, density, seed):
    """Ids of four kinds in random places, some of them none."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(size) < density, rng.integers(0, 4, size), -1).astype(np.int16)


def crop_of(mask, box):
    return mask[box[1] : box[3], box[0] : box[2]]


@pytest.mark.parametrize("number", [1, 2])
def test_covers_thresholds_and_acceptance_are_the_authors(golden, number):
    z = golden(f"cast_crop_cover_{number}")
    mask = z["saliency_mask"].astype(bool)
    cover = Cover(mask, mask.shape)
    assert cover.area == mask.sum()
    assert cover.bounding_box() == tuple(z["expected_mask_bbox_x1y1x2y2"])
    least = relaxed_cover(float(z["min_areacover"]), float(z["scale_min"]), mask.size, cover.area)
    np.testing.assert_allclose(least, z["expected_relaxed_threshold"], rtol=1e-12)
    boxes = [tuple(box) for box in z["crop_boxes_x1y1x2y2"].tolist()]
    np.testing.assert_allclose(
        [cover.inside(box) / cover.area for box in boxes], z["expected_covered_fraction"], rtol=1e-8
    )
    alone = Constraint(cover, least)
    assert [alone.holds(box) for box in boxes] == z["expected_accepted"].tolist()
    first = tuple(z["first_crop_x1y1x2y2"].tolist())
    within = Constraint(cover, least, first)
    expected = z["expected_accepted_with_first_crop_constraint"].tolist()
    assert [within.holds(box) for box in boxes] == expected


@pytest.mark.parametrize("number", [1, 2])
def test_masks_of_views_are_the_authors_query_masks(golden, number):
    z = golden(f"cast_crop_cover_{number}")
    mask = z["saliency_mask"].astype(bool)
    first, second = (
        ViewGeometry.from_box(box, (box[3] - box[1], box[2] - box[0]), mask.shape)
        for box in (z["first_crop_x1y1x2y2"], z["second_crop_x1y1x2y2"])
    )
    query = ViewGeometry.identity(mask.shape).map_mask_to(first, mask)
    np.testing.assert_array_equal(query, z["expected_query_mask_first_crop"])
    shared = second.map_mask_to(first, np.ones(second.view_size, bool))
    np.testing.assert_array_equal(query & shared, z["expected_query_mask_intersection"])


@settings(max_examples=100)
@given(SIDE, SIDE, st.integers(1, 5), SEED)
def test_a_reduced_mask_counts_as_if_its_pixels_were_large(height, width, factor, seed):
    """Boxes cut pixels of the mask: the area is that of the enlarged mask."""
    small = np.random.default_rng(seed).random((height, width)) < 0.3
    large = small.repeat(factor, axis=0).repeat(factor, axis=1)
    cover = Cover(small, large.shape)
    rng = random.Random(seed)
    x = sorted(rng.choices(range(large.shape[1] + 1), k=2))
    y = sorted(rng.choices(range(large.shape[0] + 1), k=2))
    box = (x[0], y[0], x[1], y[1])
    assert cover.area == pytest.approx(large.sum())
    assert cover.inside(box) == pytest.approx(crop_of(large, box).sum(), abs=1e-6)
    if large.any():
        rows, columns = large.any(axis=1).nonzero()[0], large.any(axis=0).nonzero()[0]
        expected = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert cover.bounding_box() == expected


@settings(max_examples=120)
@given(
    SIDE, SIDE, st.floats(0.01, 1), st.booleans(),
    st.sampled_from([None, "area", "uniform", "largest"]), st.integers(1, 4),
    st.floats(0.01, 0.5), st.floats(0.001, 0.6), SEED,
)  # fmt: skip
def test_every_box_shows_enough_whatever_way_it_came_about(
    height, width, phi, within_first, component, tries, smallest, density, seed
):
    ids = speckled((height, width), density, seed)
    policy = SaliencyCrop(phi, within_first, component, tries, scale=(smallest, 0.6))
    crops = policy.sample((height, width), 3, random.Random(seed), ids)
    for (x1, y1, x2, y2), _ in crops:
        assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
    assert crops == policy.sample((height, width), 3, random.Random(seed), ids)
    if not (ids >= 0).any():
        assert [crop.tries for crop in crops] == [UNCONSTRAINED] * 3
        return
    assert all(crop.tries == CONSTRUCTED or 1 <= crop.tries <= tries for crop in crops)
    targets = [ids == number for number in np.unique(ids[ids >= 0])] if component else [ids >= 0]

    def holds(mask):
        least = min(phi, smallest * height * width / mask.sum()) - 1e-9
        shown = [crop_of(mask, crop.box).sum() for crop in crops]
        if min(shown) < least * mask.sum():
            return False
        both = np.zeros_like(mask)
        x1, y1, x2, y2 = crops[0].box
        both[y1:y2, x1:x2] = mask[y1:y2, x1:x2]
        shared = [crop_of(both, crop.box).sum() for crop in crops[1:]]
        return not within_first or min(shared) >= least * both.sum()

    assert any(holds(mask) for mask in targets)  # of one component: the same for all views


@settings(max_examples=80)
@given(st.integers(20, 60), st.integers(20, 60), st.floats(0.2, 1), st.floats(0.0, 0.05), SEED)
def test_a_constructed_box_leaves_scale_and_ratio_only_if_it_must(
    height, width, phi, density, seed
):
    ids = speckled((height, width), density, seed)
    policy = SaliencyCrop(phi, tries=1, scale=(0.1, 0.4), ratio=(0.8, 1.25))
    box, tries = policy.sample((height, width), 1, random.Random(seed), ids)[0]
    assume(tries == CONSTRUCTED)
    w, h = box[2] - box[0], box[3] - box[1]
    slack = 1.5 / min(w, h) + 1e-9  # whole pixels
    if 0.1 * (1 - slack) <= w * h / ids.size <= 0.4 * (1 + slack) and (
        0.8 * (1 - slack) <= w / h <= 1.25 * (1 + slack)
    ):
        return
    # The box is that around everything salient; the largest allowed ones do not show enough.
    mask = ids >= 0
    assert box == Cover(mask, mask.shape).bounding_box()
    least = min(phi, 0.1 * mask.size / mask.sum())
    for ratio in (0.8, 1.0, 1.25):
        area = 0.4 * mask.size
        w = int(min(width, height * ratio, (area * ratio) ** 0.5))
        h = int(min(width, height * ratio, (area * ratio) ** 0.5) / ratio)
        for x in range(width - w + 1):
            for y in range(height - h + 1):
                assert mask[y : y + h, x : x + w].sum() / mask.sum() < least


def test_first_tries_are_the_plain_boxes_and_rejected_ones_are_left_out():
    ids = label_map(100, 150, (10, 10, 40, 60))
    plain, policy = RandomResizedCrop((0.05, 0.5)), SaliencyCrop(0.5, scale=(0.05, 0.5))
    seen = set()
    for seed in range(200):
        drawn = [crop.box for crop in plain.sample((100, 150), 10, random.Random(seed))]
        enough = [crop_of(ids >= 0, box).sum() >= 0.5 * 1500 for box in drawn]
        box, tries = policy.sample((100, 150), 1, random.Random(seed), ids)[0]
        if any(enough):
            assert tries == enough.index(True) + 1 and box == drawn[tries - 1]
        else:
            assert tries == CONSTRUCTED
            x1, y1, x2, y2 = drawn[-1]  # its shape is kept: it is moved
            assert (box[2] - box[0], box[3] - box[1]) == (x2 - x1, y2 - y1)
        seen.add(min(tries, 2))
    assert seen == {CONSTRUCTED, 1, 2}


def test_nothing_salient_gives_plain_boxes():
    ids = np.full((60, 80), -1, np.int16)
    for seed in range(20):
        plain = RandomResizedCrop().sample((60, 80), 2, random.Random(seed))
        crops = SaliencyCrop().sample((60, 80), 2, random.Random(seed), ids)
        assert [crop.box for crop in crops] == [crop.box for crop in plain]
        assert {crop.tries for crop in crops} == {UNCONSTRAINED}


def test_two_crops_share_the_component_they_are_given():
    """Two objects in opposite corners, crops too small for both."""
    ids = label_map(100, 100, (0, 0, 20, 20), (80, 80, 100, 100))

    def shared(component):
        policy = SaliencyCrop(0.5, component=component, scale=(0.1, 0.15))
        hits, objects = 0, [0, 0]
        for seed in range(60):
            crops = policy.sample((100, 100), 2, random.Random(seed), ids)
            shown = [{n for n in (0, 1) if crop_of(ids == n, c.box).sum() >= 200} for c in crops]
            hits += bool(shown[0] & shown[1])
            for number in shown[0]:
                objects[number] += 1
        return hits, objects

    hits, objects = shared("uniform")
    assert hits == 60 and min(objects) > 15
    assert shared("largest") == (60, [60, 0])  # equal areas: the first of them
    assert 15 < shared(None)[0] < 45  # half of all that is salient is either of the two


def test_components_are_chosen_by_area_or_with_equal_chances():
    ids = label_map(100, 100, (0, 0, 90, 10), (0, 50, 10, 60))  # 900 and 100 pixels
    for component, expected in (("area", 0.9), ("uniform", 0.5), ("largest", 1.0)):
        chosen = [chosen_mask(ids, component, random.Random(s))[0, 0] for s in range(1000)]
        assert np.mean(chosen) == pytest.approx(expected, abs=0.05)  # three standard errors


@pytest.mark.parametrize(
    "options, reason",
    [(dict(min_cover=0), "min_cover"), (dict(min_cover=1.1), "min_cover"),
     (dict(tries=0), "tries"), (dict(component="smallest"), "component"),
     (dict(scale=(0.5, 0.2)), "scale")],
)  # fmt: skip
def test_impossible_options_are_refused(options, reason):
    with pytest.raises(DenseCLError, match=reason):
        SaliencyCrop(**options)
