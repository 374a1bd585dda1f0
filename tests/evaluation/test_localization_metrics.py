"""Boxes, points and maps against objects: reference vectors, closed forms, and pycocotools."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from dense_cl.evaluation.localization_metrics import (
    HIT_IOU,
    above,
    best_ious,
    map_iou,
    mask_iou,
    pointing_hit,
)
from dense_cl.evaluation.location_priors import centre_map, centred_box, random_boxes
from dense_cl.evaluation.objects import box_region

corner = st.integers(0, 20)
box = st.tuples(corner, corner, st.integers(1, 20), st.integers(1, 20)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)
boxes = st.lists(box, min_size=1, max_size=5).map(lambda b: np.array(b, dtype=np.float64))


@pytest.mark.parametrize("case", ["1", "2"])
@pytest.mark.parametrize("method", ["lost", "tokencut"])
def test_iou_and_hit_agree_with_lost(
    golden: Callable[[str], dict[str, Any]], case: str, method: str
) -> None:
    values = golden(f"lost_tokencut_{case}")
    found = values[f"expected_{method}_box_x1y1x2y2"][None].astype(np.float64)
    truth = values["gt_boxes_x1y1x2y2"]
    each = [float(best_ious(found, one[None])[0]) for one in truth]
    # The authors add 1e-7 to sides and union.
    np.testing.assert_allclose(each, values[f"expected_{method}_iou_to_gt"], rtol=1e-6, atol=1e-9)
    hit = bool(best_ious(found, truth)[0] >= HIT_IOU)
    assert hit == bool(values[f"expected_{method}_corloc_hit"])


@settings(max_examples=50)
@given(boxes, boxes)
def test_best_iou_is_that_of_pycocotools(first: np.ndarray, truth: np.ndarray) -> None:
    def xywh(corners: np.ndarray) -> np.ndarray:
        return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)

    expected = coco_mask.iou(xywh(first), xywh(truth), [0] * len(truth)).max(axis=1)
    np.testing.assert_allclose(best_ious(first, truth), expected, rtol=1e-12)


@settings(max_examples=50)
@given(boxes, st.integers(-9, 9), st.integers(1, 5))
def test_iou_of_boxes_is_one_with_themselves_and_moves_with_them(
    truth: np.ndarray, shift: int, factor: int
) -> None:
    np.testing.assert_array_equal(best_ious(truth, truth), np.ones(len(truth)))
    others = truth[::-1] + [3, 1, 3, 1]
    expected = best_ious(truth, others)
    moved = best_ious(factor * truth + shift, factor * others + shift)
    np.testing.assert_allclose(moved, expected, rtol=1e-12)


def test_an_empty_box_overlaps_nothing() -> None:
    assert best_ious(np.zeros((1, 4)), np.array([[0.0, 0, 5, 5]])) == [0.0]
    assert best_ious(np.zeros((1, 4)), np.zeros((1, 4))) == [0.0]


@settings(max_examples=50)
@given(boxes)
def test_region_of_boxes_is_the_union_of_their_pixels(some: np.ndarray) -> None:
    expected = np.zeros((40, 40), dtype=bool)
    for x1, y1, x2, y2 in some.astype(int):
        expected[y1:y2, x1:x2] = True
    np.testing.assert_array_equal(box_region(some, (40, 40)), expected)


def test_pointing_looks_at_the_centre_of_the_largest_cell() -> None:
    attention = np.zeros((3, 4))
    attention[1, 2] = 2.0
    truth = np.zeros((30, 80), dtype=bool)
    truth[15, 50] = True  # the centre of cell (1, 2): rows 10 to 19, columns 40 to 59
    assert pointing_hit(attention, truth) == 1.0
    assert pointing_hit(attention, ~truth) == 0.0
    assert pointing_hit(attention[:, ::-1], truth) == 0.0


def test_equal_maxima_share_the_hit() -> None:
    truth = np.zeros((8, 8), dtype=bool)
    truth[:, :2] = True
    assert pointing_hit(np.zeros((4, 4)), truth) == 0.25


def test_a_map_that_is_the_object_has_iou_one() -> None:
    truth = np.zeros((12, 16), dtype=bool)
    truth[3:7, 5:11] = True
    assert map_iou(truth.astype(float), truth) == 1.0
    assert map_iou(0.1 + truth, truth, threshold=0.5) == 1.0
    assert map_iou(np.ones((3, 4)), truth) == truth.mean()
    assert map_iou(np.zeros((3, 4)), truth) == 0.0
    assert map_iou(-np.ones((3, 4)), truth) == 0.0


def test_the_threshold_is_a_share_of_the_largest_value_of_the_enlarged_map() -> None:
    attention = np.array([[0.0, 1.0, 2.0, 8.0]])
    np.testing.assert_array_equal(above(attention, 0.15, (1, 4)), [[False, False, True, True]])


@settings(max_examples=50)
@given(st.integers(0, 99), st.floats(0, 1), st.floats(0, 1))
def test_mask_iou_is_that_of_pycocotools(seed: int, dense: float, other: float) -> None:
    random = np.random.default_rng(seed)
    first, second = random.random((7, 9)) < dense, random.random((7, 9)) < other
    coded = [coco_mask.encode(np.asfortranarray(m.astype(np.uint8))) for m in (first, second)]
    expected = coco_mask.iou(coded[:1], coded[1:], [0]).item() if (first | second).any() else 0.0
    assert mask_iou(first, second) == pytest.approx(expected, rel=1e-12)


def test_centred_box_has_its_share_and_shape() -> None:
    x1, y1, x2, y2 = centred_box((60, 100), share=0.25)
    np.testing.assert_allclose([x1, y1, x2, y2], [25, 15, 75, 45])
    grid = centre_map((5, 7))
    assert np.unravel_index(grid.argmax(), grid.shape) == (2, 3) and grid.max() == 1
    np.testing.assert_allclose(grid, grid[::-1, ::-1])


def test_random_boxes_lie_in_the_image_and_cover_a_ninth_on_average() -> None:
    drawn = random_boxes((60, 100), np.random.default_rng(0), 20_000)
    assert (drawn[:, :2] <= drawn[:, 2:]).all() and (drawn >= 0).all()
    assert (drawn <= [100, 60, 100, 60]).all()
    # Two even draws are a third of the side apart on average.
    area = (drawn[:, 2:] - drawn[:, :2]).prod(axis=1).mean() / 6000
    assert area == pytest.approx(1 / 9, rel=0.03)
    np.testing.assert_array_equal(drawn, random_boxes((60, 100), np.random.default_rng(0), 20_000))
