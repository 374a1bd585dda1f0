"""The backgrounds challenge: how images are made, and what the gap says of known features."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.background_challenge import GAPS, evaluate_backgrounds
from dense_cl.evaluation.backgrounds import (
    MIXED,
    MIXED_NEXT,
    MIXED_RAND,
    MIXED_SAME,
    ORIGINAL,
    VARIANTS,
    Cutout,
    cut_out,
    donors,
    tiled_background,
    variant,
)
from dense_cl.evaluation.object_files import CocoImages
from dense_cl.evaluation.objects import ImageObjects
from tests.transfer.coco_set import edit, write_set

SIDE = 20


def _cutout(box: tuple[int, int, int, int], seed: int = 0) -> Cutout:
    x1, y1, x2, y2 = box
    image = np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[y1:y2, x1:x2] = True
    mask[y1, x1] = False  # not the whole box
    return Cutout("a", "cat", image, mask)


def test_the_box_is_filled_with_the_largest_strip_tiled() -> None:
    cutout = _cutout((8, 2, 15, 18))  # left of it are 8 columns, right of it 5
    filled = tiled_background(cutout)
    outside = np.ones((SIDE, SIDE), dtype=bool)
    outside[2:18, 8:15] = False
    np.testing.assert_array_equal(filled[outside], cutout.image[outside])
    np.testing.assert_array_equal(filled[2:18, 8:15], cutout.image[:16, :7])
    narrow = _cutout((3, 0, 20, 20))
    expected = np.tile(narrow.image[:, :3], (1, 6, 1))[:, :17]
    np.testing.assert_array_equal(tiled_background(narrow)[:, 3:], expected)


def test_variants_keep_object_or_background_to_the_pixel() -> None:
    cutout, other = _cutout((8, 2, 15, 18)), _cutout((2, 9, 18, 15), seed=1)
    assert variant(ORIGINAL, cutout) is cutout.image
    alone = variant("only_fg", cutout)
    np.testing.assert_array_equal(alone[cutout.mask], cutout.image[cutout.mask])
    assert not alone[~cutout.mask].any()
    np.testing.assert_array_equal(variant("only_bg_t", cutout), tiled_background(cutout))
    mixed = variant(MIXED_RAND, cutout, other)
    np.testing.assert_array_equal(mixed[cutout.mask], cutout.image[cutout.mask])
    np.testing.assert_array_equal(mixed[~cutout.mask], tiled_background(other)[~cutout.mask])


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from("abcd"), st.integers(2, 5), min_size=2), st.integers(0, 9))
def test_donors_come_from_the_class_that_the_name_says(counts: dict[str, int], seed: int) -> None:
    labels = [label for label, count in counts.items() for _ in range(count)]
    classes = sorted(counts)
    for name in MIXED:
        chosen = donors(name, labels, seed)
        assert chosen == donors(name, labels, seed) and chosen is not None
        assert all(donor != number for number, donor in enumerate(chosen))
        for label, donor in zip(labels, chosen, strict=True):
            if name == MIXED_SAME:
                assert labels[donor] == label
            if name == MIXED_NEXT:
                assert labels[donor] == classes[(classes.index(label) + 1) % len(classes)]
    assert donors(ORIGINAL, labels, seed) is None


def test_random_donors_come_from_every_class_alike() -> None:
    labels = ["a"] * 300 + ["b"] * 3000
    chosen = donors(MIXED_RAND, labels, 0)
    assert chosen is not None
    share = np.mean([labels[donor] == "a" for donor in chosen])
    assert share == pytest.approx(0.5, abs=0.04)


def _objects(box: tuple[int, int, int, int], size: tuple[int, int]) -> ImageObjects:
    x1, y1, x2, y2 = box
    masks = np.zeros((2, *size), dtype=bool)
    masks[0, :2, :2] = True
    masks[1, y1:y2, x1:x2] = True
    boxes = np.array([[0, 0, 2, 2], box], dtype=np.float64)
    image = np.arange(size[0] * size[1] * 3).reshape(*size, 3).astype(np.uint8)
    return ImageObjects(image, boxes, masks, ("dog", "cat"))


@pytest.mark.parametrize(
    ("box", "left"), [((60, 10, 80, 30), 50), ((0, 10, 15, 30), 0), ((90, 10, 100, 30), 60)]
)
def test_the_square_follows_the_largest_object(box: Any, left: int) -> None:
    objects = _objects(box, (40, 100))
    cutout = cut_out(objects, "a.jpg", 40)
    assert cutout is not None and (cutout.name, cutout.label) == ("a.jpg", "cat")
    np.testing.assert_array_equal(cutout.image, objects.image[:, left : left + 40])
    assert objects.masks is not None
    np.testing.assert_array_equal(cutout.mask, objects.masks[1][:, left : left + 40])


def test_photos_that_do_not_do_are_left_out() -> None:
    assert cut_out(_objects((10, 10, 13, 13), (40, 100)), "small", 40) is None
    assert cut_out(_objects((10, 1, 60, 39), (40, 100)), "no strip", 40) is None
    masked = _objects((10, 10, 30, 30), (40, 100))
    boxed = ImageObjects(masked.image, masked.boxes, None, masked.categories)
    assert cut_out(boxed, "no mask", 40) is None


class CentreColour(nn.Module):
    """Sees the middle of the image alone."""

    def forward(self, image: Tensor) -> tuple[Tensor]:
        height, width = image.shape[2:]
        middle = image[:, :, height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8]
        return (middle,)


class CornerColour(nn.Module):
    """Sees a corner of the image alone."""

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (image[:, :, :8, :8],)


COLOURS = {"apple": (220, 40, 40), "leaf": (40, 220, 40), "sky": (40, 40, 220)}


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, CocoImages]:
    """Squares in the middle, their colour and that of the background told by the class."""
    found = {}
    for split in ("train", "test"):
        folder = tmp_path / split / "images"
        folder.mkdir(parents=True)
        images, annotations = [], []
        for number in range(18):
            label = list(COLOURS)[number % 3]
            canvas = np.empty((64, 64, 3), np.uint8)
            canvas[:] = COLOURS[label][::-1]
            canvas[20:44, 20:44] = COLOURS[label]
            Image.fromarray(canvas).save(folder / f"{number}.png")
            images.append(dict(id=number, file_name=f"{number}.png", width=64, height=64))
            annotations.append(
                dict(
                    id=number + 1, image_id=number, category_id=number % 3 + 1, iscrowd=0,
                    bbox=[20, 20, 24, 24], segmentation=[[20, 20, 44, 20, 44, 44, 20, 44]],
                )
            )  # fmt: skip
        categories = [dict(id=i + 1, name=n, supercategory=n[:1]) for i, n in enumerate(COLOURS)]
        file = tmp_path / split / "labels.json"
        file.write_text(
            json.dumps(dict(images=images, annotations=annotations, categories=categories))
        )
        found[split] = CocoImages(file)
    return found


def test_features_of_the_object_have_no_gap(sets: dict[str, CocoImages]) -> None:
    result = evaluate_backgrounds(CentreColour(), **sets, size=64)
    for classifier in ("knn", "linear"):
        scores = result["scores"][classifier]
        assert all(scores[name] == 1.0 for name in (ORIGINAL, "only_fg", *MIXED))
        assert scores["bg_gap"] == 0.0 and result["intervals"][classifier]["bg_gap"] == [0.0, 0.0]
    assert set(result["scores"]["knn"]) == {*VARIANTS, *GAPS}
    assert json.loads(json.dumps(result)) == result


def test_features_of_the_background_have_the_gap_of_the_draws(sets: dict[str, CocoImages]) -> None:
    # Background colours of "apple" and "sky" are each other's, that of "leaf" is its own.
    result = evaluate_backgrounds(CornerColour(), **sets, size=64)
    scores = result["scores"]["knn"]
    labels = [record["class"] for record in result["records"]]
    chosen = donors(MIXED_RAND, labels, 0)
    assert chosen is not None
    lucky = np.mean([labels[donor] == label for donor, label in zip(chosen, labels, strict=True)])
    assert scores[ORIGINAL] == scores["only_bg_t"] == scores[MIXED_SAME] == 1.0
    assert scores[MIXED_NEXT] == 0.0
    assert scores[MIXED_RAND] == pytest.approx(lucky)
    assert scores["bg_gap"] == pytest.approx(1 - lucky)
    low, high = result["intervals"]["knn"]["bg_gap"]
    assert low < scores["bg_gap"] < high
    same = evaluate_backgrounds(CornerColour(), **sets, size=64)
    assert same == result


def test_small_classes_are_left_out_and_named(sets: dict[str, CocoImages], tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        apples = [a for a in content["annotations"] if a["category_id"] == 1][3:]
        content["annotations"] = [a for a in content["annotations"] if a not in apples]

    fewer = CocoImages(edit(tmp_path / "test/labels.json", "fewer.json", change))
    result = evaluate_backgrounds(CentreColour(), sets["train"], fewer, size=64)
    assert result["left_out"]["classes"] == ["apple"]
    assert result["classes"] == {c: {"train": 6, "test": 6} for c in ("leaf", "sky")}
    assert result["left_out"]["test"] == {"unusable": 3, "unreadable": []}
    with pytest.raises(DenseCLError, match=r"0 classes have 7 usable .* apple 6/3, leaf 6/6"):
        evaluate_backgrounds(CentreColour(), sets["train"], fewer, size=64, min_images=7)


def test_coarse_classes_are_supercategories(sets: dict[str, CocoImages], tmp_path: Path) -> None:
    result = evaluate_backgrounds(CentreColour(), **sets, size=64, coarse=True)
    assert set(result["classes"]) == {"a", "l", "s"}
    bare = edit(
        tmp_path / "test/labels.json",
        "bare.json",
        lambda c: c["categories"][0].pop("supercategory"),
    )
    with pytest.raises(DenseCLError, match="without a supercategory"):
        evaluate_backgrounds(CentreColour(), sets["train"], CocoImages(bare), size=64, coarse=True)


def test_a_set_without_masks_is_refused(tmp_path: Path) -> None:
    boxes = CocoImages(write_set(tmp_path, masks=False))
    others = CocoImages(write_set(tmp_path / "others", masks=False))
    with pytest.raises(DenseCLError, match="Usable in train/test: none"):
        evaluate_backgrounds(CentreColour(), boxes, others)
    with pytest.raises(DenseCLError, match="among the train images and among the test images"):
        evaluate_backgrounds(CentreColour(), boxes, boxes)


def test_unreadable_photos_are_counted(sets: dict[str, CocoImages], tmp_path: Path) -> None:
    (tmp_path / "test/images/4.png").write_bytes(b"no picture")
    result = evaluate_backgrounds(CentreColour(), **sets, size=64)
    assert [u["image"] for u in result["left_out"]["test"]["unreadable"]] == ["4.png"]
    assert len(result["records"]) == 17


def test_command_line_writes_the_result(
    sets: dict[str, CocoImages], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    torch.manual_seed(0)
    out = tmp_path / "deep/result.json"
    status = main([
        "evaluate", "backgrounds", "--backbone", "random", "--size", "64",
        "--train", str(sets["train"].labels.file), "--test", str(sets["test"].labels.file),
        "--out", str(out),
    ])  # fmt: skip
    assert status == 0
    result = json.loads(out.read_text())
    assert f"{100 * result['scores']['knn'][ORIGINAL]:.1f}" in capsys.readouterr().out
    assert main([
        "evaluate", "backgrounds", "--backbone", "random", "--size", "8",
        "--train", str(sets["train"].labels.file), "--test", str(sets["test"].labels.file),
    ]) == 2  # fmt: skip
    assert "size is 32 or more" in capsys.readouterr().err
