"""Pixels of drawings and the numbers behind plots."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_lengths

from dense_cl.report.draw import (
    BAD,
    GOOD,
    TRUTH,
    Detection,
    draw_correspondences,
    draw_detections,
    encode,
    tile,
)
from dense_cl.report.draw_views import draw_classes
from dense_cl.report.plots import Panel, bars, curves, read_scalars


def _read(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))


def test_scalars_survive_a_line_cut_off_by_a_kill(tmp_path):
    file = tmp_path / "scalars.json"
    file.write_text('{"loss": 1.0, "step": 1}\n{"loss": 2.0, "step": 2}\n{"loss": 3.')
    assert [record["loss"] for record in read_scalars(file)] == [1.0, 2.0]


def test_panels_take_what_was_logged():
    records = [{"step": 1, "a": 3.0}, {"step": 2, "a": 2.0, "b": 9.0}, {"a": 1.0}]
    panel = Panel.of("title", records, {"first": "a", "second": "b", "third": "c"})
    assert panel.curves == {"first": ((1, 2), (3.0, 2.0)), "second": ((2,), (9.0,))}


def test_curves_and_bars_show_their_series():
    lower = Panel("t", {"x": ([0, 1], [0, 1])}, {})
    upper = Panel("t", {"x": ([0, 1], [0, 1])}, {"chance": 0.5})
    assert not np.array_equal(_read(curves([lower])), _read(curves([upper])))
    one, four = _read(curves([lower])), _read(curves([lower] * 4))
    assert four.shape[0] == 2 * one.shape[0] and four.shape[1] == 2 * one.shape[1]
    half, full = (_read(bars(["g"], {"a": [v], "b": [10.0]}, "y")) for v in (5.0, 10.0))
    blue = [np.all(np.abs(p.astype(int) - (0, 114, 178)) < 12, axis=2).sum() for p in (half, full)]
    assert blue[0] / blue[1] == pytest.approx(0.5, abs=0.03)


def test_bars_of_zeros_are_drawn():
    assert _read(bars(["g"], {"a": [0.0], "b": [0.0]}, "points")).size


def test_boxes_and_masks_land_on_their_pixels():
    image = np.zeros((40, 50, 3), np.uint8)
    mask = np.zeros((40, 50), bool)
    mask[20:30, 10:30] = True
    entry = dict(
        bbox=[10, 20, 20, 10], category_id=1, score=0.87, image_id=3,
        segmentation=run_lengths.encode(np.asfortranarray(mask.astype(np.uint8))),
    )  # fmt: skip
    assert Detection.from_coco(entry, {1: "star"}).label == "0.87"
    found = Detection.from_coco(entry, {1: "star", 2: "heart"})
    assert found.label == "star 0.87"
    np.testing.assert_array_equal(found.mask, mask)
    drawn = draw_detections(image, [found], scale=2)
    assert drawn.shape == (80, 100, 3)
    colour = (213, 94, 0)
    assert tuple(drawn[59, 40]) == colour  # lower edge of the box
    np.testing.assert_allclose(drawn[50, 40], 0.45 * np.array(colour), atol=2)
    assert drawn[10, 90].tolist() == [0, 0, 0]
    assert image.max() == 0


def test_results_without_boxes_get_them_from_the_mask():
    mask = np.zeros((9, 9), np.uint8, order="F")
    mask[2:5, 3:8] = 1
    found = Detection.from_coco(
        {"category_id": 0, "segmentation": run_lengths.encode(mask)}, {0: "a"}
    )
    assert list(found.box) == [3, 2, 5, 3]


def test_labels_stay_inside_the_picture():
    drawn = draw_detections(
        np.zeros((20, 120, 3), np.uint8), [Detection((110, 0, 9, 9), "arrow 0.99", 0)]
    )
    assert (drawn[:8, -30:] > 0).any()


def test_correspondences_are_coloured_by_whether_they_are_right():
    view = np.zeros((40, 40, 3), np.uint8)
    places = np.array([[10.0, 10.0], [10.0, 30.0]])
    match = np.array([[30.0, 10.0], [30.0, 30.0]])
    truth = np.array([[30.0, 10.0], [15.0, 20.0]])
    drawn = draw_correspondences(view, view, places, match, truth, np.array([True, False]), scale=1)
    assert drawn.shape == (40, 88, 3)
    assert tuple(drawn[10, 25]) == GOOD and tuple(drawn[30, 25]) == BAD
    assert tuple(drawn[10, 78]) == GOOD and tuple(drawn[30, 78]) == BAD
    assert tuple(drawn[20 - 6, 48 + 15]) == TRUTH


def test_tiles_are_laid_out_in_rows():
    red, green = (np.full((4, 6, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 255, 0)))
    laid = tile([[red, green], [green, red]], gap=2)
    assert laid.shape == (10, 14, 3)
    assert laid[0, 0].tolist() == laid[9, 13].tolist() == [255, 0, 0]
    assert laid[0, 13].tolist() == laid[9, 0].tolist() == [0, 255, 0]
    assert laid[5, 7].tolist() == [255, 255, 255]
    assert _read(encode(laid)).shape == laid.shape


def test_json_numbers_reach_the_plot(tmp_path):
    file = tmp_path / "scalars.json"
    file.write_text("".join(json.dumps({"step": i, "loss": 2.0 * i}) + "\n" for i in range(3)))
    panel = Panel.of("loss", read_scalars(file), {"loss": "loss"})
    assert panel.curves["loss"] == ((0, 1, 2), (0.0, 2.0, 4.0))


@pytest.mark.parametrize("count", [2, 11, 40])
def test_classes_have_colours_of_their_own_over_half_of_the_photo(count):
    image = np.full((1, count, 3), 100, np.uint8)
    drawn = draw_classes(image, np.arange(count)[None], count).astype(int)
    assert len(np.unique(drawn[0], axis=0)) == count
    steps = np.abs(np.diff(drawn[0], axis=0)).max(axis=1)
    assert steps.min() > 40  # neighbours are easily told apart
    brighter = draw_classes(image + 50, np.arange(count)[None], count)
    assert np.abs(brighter - drawn - 25).max() <= 1
