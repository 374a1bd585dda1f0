"""Results read back, or refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dense_cl.errors import DenseCLError
from dense_cl.report.compare import compare
from dense_cl.report.compare_file import method_of
from dense_cl.report.compare_results import read_results
from dense_cl.report.compare_runs import runs_of
from tests.report.conftest import SETTINGS, Write


def test_images_are_the_same_for_all_results_that_have_records(write: Write) -> None:
    files = [
        write("a", 0, np.zeros(1), records=[]),
        write("b", 0, np.zeros(2), records=[{"image": "x.jpg", "knn": 0.0}]),
        write("c", 0, np.zeros(2), records=[{"image": "y.jpg", "knn": 0.0}]),
    ]
    with pytest.raises(DenseCLError, match=r"c_seed0.*b_seed0.*they were scored on other images"):
        read_results([str(file) for file in files])


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"confusion": [[0, 0, 9], [1, 0, 4]]}, {"confusion": [[0, 0, 8], [1, 1, 5]]}),
        ({"labels": [1, 0], "logits": [0.1, 0.2]}, {"labels": [1, 1], "logits": [0.1, 0.2]}),
    ],
)
def test_labels_are_the_same_for_all_results(write: Write, mine: Any, theirs: Any) -> None:
    files = [
        str(write(name, 0, np.zeros(1), records=[{"image": "x.jpg", **record}]))
        for name, record in (("a", mine), ("b", theirs), ("c", mine))
    ]
    assert len(read_results([files[0], files[2]])) == 2
    with pytest.raises(DenseCLError, match=r"b_seed0.*a_seed0.*'x\.jpg' has other labels in it"):
        read_results(files)


def test_names_of_methods() -> None:
    assert method_of("random") == "random" and method_of("random:resnet50") == "random:resnet50"
    assert method_of("work/moco_v2_20e_seed0/backbone.pth") == "moco_v2_20e"
    assert method_of("zoo/densecl-seed12.safetensors") == "densecl"
    assert method_of("work/moco/seed0/backbone.pth") == "moco"
    assert method_of("w/moco_seed0/backbone.pth:vit_small_patch16_224.dino") == "moco"
    assert method_of("random:vit_small_patch16_224.dino") == "random:vit_small_patch16_224.dino"
    assert method_of("/seed0/backbone.pth") == method_of("../backbone.pth") == ""
    for plain in ("latest", "epoch_40", "model_final", "checkpoint_0199", "iter-100", "best"):
        assert method_of(f"moco/checkpoints/{plain}.pth") == "moco"
    assert method_of("zoo/bestmoco.pth") == "bestmoco"  # begins with a word that says nothing


def test_a_backbone_without_a_name_needs_one(write: Write) -> None:
    file = write("a", 0, np.zeros(60), backbone="backbone.pth")
    with pytest.raises(DenseCLError, match="does not say which method it is of. Write METHOD=PATH"):
        read_results([str(file)])
    assert read_results([f"ours={file}"])[0].method == "ours"


def test_folders_labels_and_tasks(write: Write, tmp_path: Path) -> None:
    values = np.linspace(0, 1, 60)
    one, two = write("a", 0, values), write("b", 0, values)
    (one.parent / "summary.json").write_text('{"loss": 1}')
    (one.parent / "scalars.json").write_text("")  # of a run that was killed at once
    left = tmp_path / ".a.json.x8k2" / "a.json"  # of a command that was killed while it wrote
    left.parent.mkdir()
    left.write_text(one.read_text())
    assert len(read_results([str(tmp_path)])) == 2
    named = read_results([f"ours={one.parent}", f"ours@photos={two}"])
    assert [(r.method, r.task) for r in named] == [("ours", "classification"), ("ours", "photos")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {"size": 224}}, "setting size is 224 instead of 96"),
        ({"settings": SETTINGS | {"images": {"test": 61}}}, "setting images.test is 61"),
        ({"settings": SETTINGS | {"crop": 1}}, "setting crop is 1 instead of 'absent'"),
        ({"records": [{"image": "x.jpg", "knn": 1.0}]}, "scored on other images"),
        ({"records": [{"image": "x.jpg"}] * 2}, "two records of image 'x.jpg'"),
        ({"records": [{"image": "0.jpg", "labels": ["b"]}]}, "scored on other images"),
        ({"scores": {}}, "has no scores"),
        ({"scores": {"knn": True}}, "has no scores"),
        ({"backbone": "a_seed2/backbone.pth"}, "are both a on classification"),
    ],
)
def test_what_cannot_be_compared_is_refused(write: Write, changes: dict, message: str) -> None:
    files = [write("a", 1, np.linspace(0, 1, 60)), write("b", 1, np.linspace(0, 1, 60), **changes)]
    with pytest.raises(DenseCLError, match=message):
        read_results([str(file) for file in files])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": None}, "its seed is null and no whole number"),
        ({"seed": "0"}, 'its seed is "0" and no whole number'),
        ({"task": ["a"]}, r'its task is \["a"\] and no text'),
        ({"backbone": None}, "its backbone is null and no text"),
        ({"records": [{"image": "x", "pictures": "x.png"}]}, "the pictures of 'x' are no paths"),
        ({"records": [{"image": "x", "pictures": {"photo": 1}}]}, "the pictures of 'x'"),
        ({"scores": [0.4]}, "its scores are no object"),
        ({"settings": None}, "its settings are no object"),
        ({"versions": "1.0"}, "its versions are no object"),
        ({"records": {"x.jpg": 1}}, "its records are no list"),
        ({"records": [1, 2]}, "its records are no list"),
        ({"records": [{"knn": 1.0}]}, "its records are no list"),
        ({"records": [{"image": "x", "confusion": [1, 2, 3]}]}, "confusion of the record of 'x'"),
        ({"records": [{"image": "x", "confusion": [[0, 1]]}]}, "no list of 3 numbers each"),
        ({"records": [{"image": "x", "confusion": [["a", 0, 1]]}]}, "no list of 3 numbers"),
        ({"records": [{"image": "x", "segments": 5}]}, "segments .* no list of 5 numbers"),
        ({"records": [{"image": "x", "bbox": {"found": [[0, 0.5]]}}]}, "bbox.found .* of 4 numb"),
        ({"records": [{"image": "x", "segm": {"truths": [3]}}]}, "segm.truths .* of 2 numbers"),
    ],
)
def test_a_malformed_result_is_named(write: Write, changes: dict, message: str) -> None:
    file = write("a", 0, np.linspace(0, 1, 60))
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    for place in (file, file.parent):
        with pytest.raises(DenseCLError, match=rf"{file.name}' is not a result .* {message}"):
            read_results([str(place)])


@pytest.mark.parametrize(
    ("score", "records", "settings"),
    [
        ("mean_iou", [{"image": "x", "confusion": [[0, 0, 1]]}], {"classes": "two"}),
        (
            "mean_average_precision",
            [{"image": i, "labels": [1, 0], "logits": [0.5] * n} for i, n in (("x", 2), ("y", 3))],
            {},
        ),
    ],
)
def test_records_that_cannot_be_counted_are_named(
    write: Write, score: str, records: list, settings: dict
) -> None:
    values = dict(scores={score: 0.5}, records=records, settings=settings)
    files = [write(name, 0, np.zeros(1), **values) for name in "ab"]
    with pytest.raises(DenseCLError, match=r"the records of '.*' cannot be used"):
        compare(read_results([str(file) for file in files]))


def test_a_score_that_is_no_number_is_named(write: Write) -> None:
    files = [
        str(write("a", 0, np.zeros(3))),
        str(write("b", 0, np.zeros(3), scores={"knn": float("nan"), "linear": 0.5})),
    ]
    results = read_results(files)
    with pytest.raises(DenseCLError, match=r"score knn of '.*b_seed0/classification.json' is nan"):
        compare(results)
    compare(results, scores=["linear"])  # the others may still be compared
    record = {"image": "x.jpg", "confusion": [[0, 0, 9]]}
    more: dict[str, Any] = {"scores": {"mean_iou": 0.3}, "records": [record], "settings": {}}
    file = write("a", 0, np.zeros(1), "segmentation", **more)
    with pytest.raises(DenseCLError, match=r"records of '.*segmentation.json' cannot be used"):
        runs_of(read_results([str(file)]), "mean_iou")


def test_what_is_no_result_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DenseCLError, match="does not exist"):
        read_results([str(tmp_path / "none.json")])
    other = tmp_path / "other.json"
    other.write_text('{"knn": 0.5, "backbone": "x", "seed": 0}')
    with pytest.raises(DenseCLError, match="it has no task, scores, settings"):
        read_results([str(other)])
    with pytest.raises(DenseCLError, match="holds no result"):
        read_results([str(tmp_path)])
    other.write_text("{")
    with pytest.raises(DenseCLError, match="cannot be read as JSON"):
        read_results([str(other)])
    results = read_results([str(write("a", 0, np.zeros(3)))])
    with pytest.raises(DenseCLError, match="control 'b'"):
        compare(results, control="b")
    with pytest.raises(DenseCLError, match="Did you mean 'knn'"):
        compare(results, scores=["kn"])


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"bbox": {"truths": [[0, 1]]}}, {"bbox": {"truths": [[0, 3]]}}),
        ({"segments": [[0, 0.9, 1, 0, 0]]}, {"segments": [[1, 0.9, 1, 0, 0]]}),
        ({"confusion": [[0, 0, 4]]}, {"confusion": [[1, 0, 4]]}),
    ],
)
def test_other_labels_of_the_same_image_are_refused(write: Write, mine: dict, theirs: dict) -> None:
    files = [
        write(name, 0, np.zeros(1), records=[{"image": "a.jpg", **record}])
        for name, record in (("a", mine), ("b", theirs))
    ]
    with pytest.raises(DenseCLError, match=r"'a\.jpg' has other labels"):
        read_results([str(file) for file in files])


def test_segments_that_only_one_found_in_vain_are_no_labels(write: Write) -> None:
    found = [[0, 0.9, 1, 0, 0]]
    files = [
        write(name, 0, np.zeros(1), records=[{"image": "a.jpg", "segments": segments}])
        for name, segments in (("a", found), ("b", [*found, [2, 0.0, 0, 1, 0]]))
    ]
    assert len(read_results([str(file) for file in files])) == 2
    for file, segments in zip(files, ([], [[2, 0.0, 0, 1, 0]]), strict=True):  # a crowd alone
        content = json.loads(file.read_text())
        content["records"][0]["segments"] = segments
        file.write_text(json.dumps(content))
    assert len(read_results([str(file) for file in files])) == 2


def test_linked_folders_are_read_once(write: Write, tmp_path: Path) -> None:
    file = write("a", 0, np.zeros(1))
    (tmp_path / "runs").mkdir()
    for name in ("x", "y"):
        (tmp_path / "runs" / name).symlink_to(file.parent)
    (result,) = read_results([str(tmp_path / "runs")])
    assert result.method == "a"


def test_found_objects_without_the_true_ones_are_no_records(write: Write) -> None:
    record = {"image": "a.jpg", "bbox": {"found": [[0, 0.9, 1, 0]]}}
    file = write("a", 0, np.zeros(1), records=[record])
    assert runs_of(read_results([str(file)]), "knn").images == 0
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"scores": {"bbox_mAP": 0.5}}))
    assert runs_of(read_results([str(file)]), "bbox_mAP").lacking == (
        "no records of bbox_mAP by image"
    )
