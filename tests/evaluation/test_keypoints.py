"""Key points found again: exact answers on coordinates, the tolerance, the file, the command."""

import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.keypoint_objects import read_objects
from dense_cl.evaluation.keypoint_transfer import correct_points, transfer_points
from dense_cl.evaluation.keypoints import choose_pairs, evaluate_keypoints
from dense_cl.evaluation.results import write_result
from dense_cl.report.compare import compare
from dense_cl.report.compare_results import read_results

SIDE = 64  # of the boxes


class Place(nn.Module):
    """Cells that know where they are (two angles); turned by half the width if ``wrong``."""

    def __init__(self, wrong: bool = False) -> None:
        super().__init__()
        self.shift = 1.5 if wrong else 0.0

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        y, x = torch.meshgrid(torch.linspace(0, 3, 16), torch.linspace(0, 3, 16), indexing="ij")
        # The mean of the crop is on average the same, and tells nothing.
        seen = (image.mean(dim=(1, 2, 3)) > 0)[:, None, None] * self.shift
        angles = [
            (x + seen).cos(),
            (x + seen).sin(),
            y.cos().expand_as(x + seen),
            y.sin().expand_as(x + seen),
        ]
        maps = torch.stack([a.expand(len(image), 16, 16) for a in angles], dim=1)
        return maps, maps


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Write four photos: an object of 64 pixels with four points each, light or dark."""
    points = [(10.0, 10.0), (50.0, 12.0), (32.0, 40.0), (20.0, 55.0)]
    images, found = [], []
    for number in range(4):
        level = 255 if number % 2 else 0
        Image.fromarray(np.full((100, 120, 3), level, np.uint8)).save(tmp_path / f"{number}.png")
        images.append(dict(id=7 + number, file_name=f"{number}.png", width=120, height=100))
        left, top = 5 * number, 3 * number
        flat = [v for x, y in points for v in (x + left, y + top, 2)]
        if number == 3:
            flat[2] = 1  # labelled but hidden
        found.append(dict(image_id=7 + number, category_id=1, bbox=[left, top, SIDE, SIDE],
                          keypoints=flat))  # fmt: skip
    found.append(dict(found[0], iscrowd=1))
    found.append(dict(image_id=7, category_id=1, bbox=[0, 0, 9, 9], keypoints=[0, 0, 0] * 4))
    content = dict(images=images, annotations=found, categories=[dict(id=1, name="thing")])
    (tmp_path / "points.json").write_text(json.dumps(content))
    return tmp_path / "points.json"


def test_points_are_found_where_the_features_are_the_same(annotations: Path) -> None:
    crops = read_objects(annotations)
    assert len(crops) == 4  # without the crowd, and the one whose points are not labelled
    result = evaluate_keypoints(Place(), crops, pairs=4, size=SIDE)
    assert result["scores"]["pck"] == 1.0
    assert all(record["points"] in (3, 4) for record in result["records"])


def test_a_record_is_of_a_photo_and_its_pairs(annotations: Path) -> None:
    crops = read_objects(annotations)
    # Half of the objects have their features turned: pairs of light and dark go wrong.
    result = evaluate_keypoints(Place(wrong=True), crops, pairs=1000, size=SIDE)
    records = result["records"]
    assert [record["image"] for record in records] == [f"{i}.png" for i in range(4)]
    assert result["settings"]["pairs"] == 12  # there are no more
    assert [record["pairs"] for record in records] == [3] * 4
    assert [record["points"] for record in records] == [11, 11, 11, 9]
    assert [record["pck"] for record in records] == [pytest.approx(1 / 3)] * 4
    content = json.loads(annotations.read_text())
    del content["annotations"][3]  # a light one
    annotations.write_text(json.dumps(content))
    result = evaluate_keypoints(Place(wrong=True), read_objects(annotations), size=SIDE)
    assert [record["pck"] for record in result["records"]] == [0.5, 0, 0.5]
    assert result["scores"]["pck"] == pytest.approx(1 / 3)


def test_names_do_not_depend_on_where_the_photos_lie(
    annotations: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "other" / "place"
    shutil.copytree(annotations.parent, there, ignore=shutil.ignore_patterns("other"))
    first = evaluate_keypoints(Place(), read_objects(annotations), size=32)
    monkeypatch.chdir(there)
    second = evaluate_keypoints(Place(), read_objects("points.json"), size=32)
    assert first["records"] == second["records"]


def test_a_point_goes_to_the_most_similar_place() -> None:
    maps = torch.randn(8, 6, 6, dtype=torch.float64)
    cells = torch.tensor([[0.5, 0.5], [3.5, 2.5], [5.5, 4.5]]) / 6  # centres of cells
    mirrored = maps.flip(2)
    found = transfer_points(maps, mirrored, cells, (6, 6))
    expected = torch.stack([1 - cells[:, 0], cells[:, 1]], dim=1)
    torch.testing.assert_close(found, expected)


def test_tolerance_is_a_part_of_the_larger_side() -> None:
    truth = torch.zeros(3, 2)
    found = torch.tensor([[3.0, 4.0], [6.0, 8.0], [6.1, 8.0]])
    right = correct_points(found, truth, torch.tensor([100.0, 20.0]), alpha=0.1)
    assert right.tolist() == [True, True, False]


def test_pairs_are_of_different_photos_and_follow_the_seed(annotations: Path) -> None:
    crops = read_objects(annotations)
    pairs = choose_pairs(crops, 8, seed=0)
    assert len(set(pairs)) == 8 and all(first != second for first, second in pairs)
    firsts = [first for first, _ in pairs]
    assert sorted(firsts[:4]) == sorted(firsts[4:]) == [0, 1, 2, 3]  # in turns
    assert pairs == choose_pairs(crops, 8, seed=0) != choose_pairs(crops, 8, seed=1)
    every = choose_pairs(crops, 1000, seed=0)
    assert sorted(every) == [(i, j) for i in range(4) for j in range(4) if i != j]


def test_objects_of_one_photo_share_its_turns_and_are_no_pair(annotations: Path) -> None:
    content = json.loads(annotations.read_text())
    content["annotations"].append(dict(content["annotations"][0], bbox=[1, 1, SIDE, SIDE]))
    annotations.write_text(json.dumps(content))
    crops = read_objects(annotations)  # the last is in the photo of the first
    assert len(crops) == 5
    every = set(choose_pairs(crops, 1000, seed=0))
    assert len(every) == 5 * 4 - 2 and not every & {(0, 4), (4, 0)}
    turns = [crops.objects[first].image for first, _ in choose_pairs(crops, 4, seed=0)]
    assert sorted(turns) == [0, 1, 2, 3]


def test_a_photo_that_changes_makes_new_features(annotations: Path, tmp_path: Path) -> None:
    crops = read_objects(annotations)
    extraction = Extraction(tmp_path / "cache")
    before = evaluate_keypoints(Place(), crops, size=32, extraction=extraction)
    photo = tmp_path / "1.png"
    Image.fromarray(np.zeros((100, 120, 3), np.uint8)).save(photo)
    size = photo.stat().st_size
    stamp, fingerprint = crops.stamp(), crops.fingerprint()
    os.utime(photo, ns=(1, 1))  # the size stays
    assert photo.stat().st_size == size
    assert crops.stamp() != stamp and crops.fingerprint() == fingerprint
    again = evaluate_keypoints(Place(), crops, size=32, extraction=extraction)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert before["scores"] == again["scores"]


def test_seeds_of_pretraining_can_be_compared(annotations: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        words = [
            "evaluate",
            "keypoints",
            "--backbone",
            "random",
            "--seed",
            str(seed),
            "--size",
            "32",
        ]
        out = tmp_path / "results" / f"{seed}.json"
        words += ["--annotations", str(annotations), "--pairs", "20", "--out", str(out)]
        assert main(words) == 0
    numbers = tmp_path / "numbers.json"
    assert main(["compare", str(tmp_path / "results"), "--json", str(numbers)]) == 0
    (task,) = json.loads(numbers.read_text())["tasks"]
    # More pairs than there are different ones, of four photos: these are what was measured.
    assert task["methods"][0]["seeds"] == [0, 1] and task["images"] == 4
    assert task["unit"] == "query photos"


def test_a_verdict_says_what_was_resampled(annotations: Path, tmp_path: Path) -> None:
    content = json.loads(annotations.read_text())
    del content["annotations"][3]
    annotations.write_text(json.dumps(content))
    files = []
    for name, wrong in (("good", False), ("turned", True)):
        result = evaluate_keypoints(Place(wrong), read_objects(annotations), size=SIDE)
        files.append(f"{name}={tmp_path / name}.json")
        write_result(result, tmp_path / f"{name}.json")
    (entry,) = compare(read_results(files))["tasks"]
    verdict = entry["comparisons"][0]["verdict"]
    assert "only query photos were resampled" in verdict
    assert verdict.endswith("the photos that they are matched with were not resampled")


def test_wrong_files(annotations: Path, tmp_path: Path) -> None:
    content = json.loads(annotations.read_text())
    with pytest.raises(DenseCLError, match="no object with 5 visible key points"):
        read_objects(annotations, min_points=5)
    del content["images"][0]["width"]
    annotations.write_text(json.dumps(content))
    with pytest.raises(DenseCLError, match="no COCO file of key points: KeyError 'width'"):
        read_objects(annotations)
    content["images"][0]["width"] = 120
    content["annotations"] = content["annotations"][:1]
    annotations.write_text(json.dumps(content))
    with pytest.raises(DenseCLError, match="no two objects of one class"):
        evaluate_keypoints(Place(), read_objects(annotations))


def test_boxes_are_cut_at_the_border_of_the_photo(annotations: Path) -> None:
    content = json.loads(annotations.read_text())
    content["annotations"][0]["bbox"] = [-10, 50, 500, 500]
    annotations.write_text(json.dumps(content))
    crops = read_objects(annotations)
    assert crops.objects[0].box == (0, 50, 120, 50)
    assert crops.load(0).shape == (50, 120, 3)


def test_command(annotations: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = annotations.parent / "result.json"
    words = ["evaluate", "keypoints", "--backbone", "random", "--annotations", str(annotations)]
    assert main([*words, "--pairs", "5", "--size", "64", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert f"{100 * result['scores']['pck']:.1f}" in capsys.readouterr().out
    assert result["settings"]["pairs"] == 5


def test_a_category_has_one_number_of_points(annotations: Path) -> None:
    content = json.loads(annotations.read_text())
    content["annotations"][1]["keypoints"] += [1, 1, 2]
    annotations.write_text(json.dumps(content))
    with pytest.raises(DenseCLError, match="objects of category 1 with 4 and with 5 key points"):
        read_objects(annotations)


@pytest.mark.parametrize("point", [(121.0, 5.0), (-1.0, 5.0), (5.0, math.nan)])
def test_points_outside_the_photo_are_refused(
    annotations: Path, point: tuple[float, float]
) -> None:
    content = json.loads(annotations.read_text())
    content["annotations"][1].update(id=31)
    content["annotations"][1]["keypoints"][3:5] = point
    annotations.write_text(json.dumps(content))
    with pytest.raises(DenseCLError, match="annotation 31 has a visible point at .*, outside its"):
        read_objects(annotations)
    content["annotations"][1]["keypoints"][5] = 1  # of hidden ones nothing is read
    annotations.write_text(json.dumps(content))
    assert len(read_objects(annotations)) == 4


def test_photos_of_another_size_are_refused(annotations: Path) -> None:
    Image.new("RGB", (240, 200)).save(annotations.parent / "1.png")
    with pytest.raises(DenseCLError, match=r"1\.png' has 240x200 pixels, .* with 120x100"):
        evaluate_keypoints(Place(), read_objects(annotations))
