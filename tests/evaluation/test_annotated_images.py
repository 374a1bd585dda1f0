"""Photos with objects from COCO files and masks: what is read, and what wrong input says."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coder

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.object_files import CocoImages, MaskImages, find_images
from dense_cl.sources.base import UnreadableImageError
from dense_cl.sources.synthetic.writer import generate_scenes
from tests.transfer.coco_set import edit, write_set


def test_scenes_give_the_objects_that_were_rendered(tmp_path: Path) -> None:
    labels = generate_scenes(tmp_path, {"val": 3}, size=(48, 64))
    images = CocoImages(labels["val"])
    content = json.loads(labels["val"].read_text())
    for number in range(len(images)):
        objects = images.load(number)
        entry = content["images"][number]
        mine = [a for a in content["annotations"] if a["image_id"] == entry["id"]]
        assert images.name(number) == entry["file_name"]
        assert objects.masks is not None and len(objects.masks) == len(mine) == len(objects.boxes)
        with Image.open(tmp_path / "semantic/val" / f"{Path(entry['file_name']).stem}.png") as png:
            np.testing.assert_array_equal(objects.region, np.array(png) > 0)
        for box, mask in zip(objects.boxes, objects.masks, strict=True):
            rows, columns = np.nonzero(mask)
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(box, tight, atol=1)


def _first_box(box: list[float]) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["bbox"] = box

    return change


def test_boxes_are_clipped_and_those_outside_counted(tmp_path: Path) -> None:
    labels = write_set(tmp_path, masks=False)  # photos of 64 x 48
    objects = CocoImages(edit(labels, "out.json", _first_box([50, 40, 100, 100]))).load(0)
    np.testing.assert_array_equal(objects.boxes[0], [50, 40, 64, 48])
    assert (objects.outside, len(objects.boxes), objects.masks) == (0, 2, None)
    assert objects.region[45, 60] and objects.region.shape == (48, 64)
    objects = CocoImages(edit(labels, "out.json", _first_box([70, 5, 10, 10]))).load(0)
    assert (objects.outside, len(objects.boxes)) == (1, 1)


def test_crowds_are_no_objects(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["iscrowd"] = 1

    assert len(CocoImages(edit(write_set(tmp_path), "out.json", change)).load(0).boxes) == 1


def test_run_lengths_and_polygons_give_the_same_mask(tmp_path: Path) -> None:
    labels = write_set(tmp_path)
    expected = CocoImages(labels).load(0).masks
    assert expected is not None

    def change(content: dict[str, Any]) -> None:
        for number, compressed in ((0, True), (1, False)):
            coded = coder.encode(np.asfortranarray(expected[number].astype(np.uint8)))
            if compressed:
                plain = {"size": coded["size"], "counts": coded["counts"].decode()}
            else:
                flat = expected[number].ravel(order="F").astype(int)
                edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
                counts = np.diff([0, *edges, flat.size]).tolist()
                plain = {"size": coded["size"], "counts": counts}
            content["annotations"][number]["segmentation"] = plain

    found = CocoImages(edit(labels, "rle.json", change)).load(0).masks
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_first_box([1, 2, 3]), "has no box"),
        (lambda c: c["images"][0].update(width=60), "says 60x48 for '001.png', which is 64x48"),
        (
            lambda c: c["annotations"][0].update(segmentation={"size": [5, 6], "counts": [30]}),
            "mask of 6x5 pixels for an image of 64x48",
        ),
        (lambda c: c["annotations"][0].update(segmentation=[[1, 2]]), "neither polygons nor run"),
        (lambda c: c.update(annotations=[]), "has no annotations: labelled images are needed"),
        (lambda c: c["images"][1].update(file_name="gone.png"), "the first is 'gone.png'"),
    ],
)
def test_wrong_annotations_are_named(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(DenseCLError, match=message):
        CocoImages(edit(write_set(tmp_path), "wrong.json", change)).load(0)


def test_an_unreadable_photo_is_that_kind_of_error(tmp_path: Path) -> None:
    labels = write_set(tmp_path)
    (tmp_path / "images/001.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableImageError, match=r"001\.png"):
        CocoImages(labels).load(0)


def _masks(folder: Path, values: np.ndarray) -> tuple[Path, Path]:
    for kind, array in (("images", np.zeros((*values.shape, 3), np.uint8)), ("masks", values)):
        (folder / kind / "deep").mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(folder / kind / "deep" / "1.png")
    return folder / "images", folder / "masks"


@pytest.mark.parametrize("high", [1, 255])
def test_parts_of_a_mask_are_objects(tmp_path: Path, high: int) -> None:
    values = np.zeros((10, 12), np.uint8)
    values[1:3, 2:5] = high
    values[3, 5] = high  # touches at a corner
    values[6:9, 8:10] = high
    images = MaskImages(*_masks(tmp_path, values))
    objects = images.load(0)
    assert images.name(0) == "deep/1.png"
    np.testing.assert_array_equal(objects.boxes, [[2, 1, 6, 4], [8, 6, 10, 9]])
    np.testing.assert_array_equal(objects.region, values > 0)
    assert objects.outlined and objects.categories == ("object", "object")


@pytest.mark.parametrize(("highest", "fine"), [(2, False), (20, False), (128, False), (129, True)])
def test_a_mask_of_classes_is_refused(tmp_path: Path, highest: int, fine: bool) -> None:
    values = np.zeros((10, 12), np.uint8)
    values[1:3, 2:5], values[6:9, 8:10] = 1, highest
    images = MaskImages(*_masks(tmp_path, values))
    if fine:
        np.testing.assert_array_equal(images.load(0).boxes, [[8, 6, 10, 9]])
    else:
        with pytest.raises(DenseCLError, match=rf"1\.png' holds values of 0\.\.{highest}.*COCO"):
            images.load(0)


def test_a_mask_of_specks_needs_no_mask_for_each(tmp_path: Path) -> None:
    values = np.zeros((480, 640), np.uint8)
    values[::8, ::8] = 255  # 4,800 parts: 1.5 GB if each had a mask
    images = MaskImages(*_masks(tmp_path, values))
    tracemalloc.start()
    objects = images.load(0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(objects.boxes) == 4800 and peak < 50e6
    np.testing.assert_array_equal(objects.region, values > 0)


def test_grey_borders_of_a_mask_count_from_half_on(tmp_path: Path) -> None:
    objects = MaskImages(*_masks(tmp_path, np.array([[0, 100, 128, 129, 255]], np.uint8))).load(0)
    np.testing.assert_array_equal(objects.region, [[False, False, False, True, True]])


def test_an_empty_mask_has_no_object(tmp_path: Path) -> None:
    assert len(MaskImages(*_masks(tmp_path, np.zeros((4, 5), np.uint8))).load(0).boxes) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None, None, None), "either --annotations"),
        (("i", "a", "m"), "either --annotations"),
        ((None, None, "m"), "--masks needs --images"),
        (("nowhere", None, "m"), "'nowhere' does not exist"),
        ((None, "nowhere.json", None), "'nowhere.json' cannot be read"),
    ],
)
def test_find_images_says_what_is_missing(given: Any, message: str) -> None:
    with pytest.raises(DenseCLError, match=message):
        find_images(*given)


def test_a_mask_of_16_bits_is_told_so(tmp_path: Path) -> None:
    images = MaskImages(*_masks(tmp_path, np.array([[0, 65535]], np.uint16)))
    with pytest.raises(DenseCLError, match=r"1\.png' holds the value 65535; .* have 8 bits"):
        images.load(0)


def test_two_photos_of_one_name_are_not_told_apart_silently(tmp_path: Path) -> None:
    images, masks = _masks(tmp_path, np.zeros((4, 4), np.uint8))
    (images / "._1.jpg").write_bytes(b"what macOS leaves beside a photo")
    assert len(MaskImages(images, masks)) == 1
    Image.new("RGB", (4, 4)).save(images / "deep/1.jpg")
    with pytest.raises(DenseCLError, match=r"1\.jpg' and '.*1\.png' have the same name but"):
        MaskImages(images, masks)
