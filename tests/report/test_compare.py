"""Results read back, refused or compared, and the page that says so."""

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.confusion import segmentation_scores
from dense_cl.evaluation.results import sparse
from dense_cl.report.compare import compare
from dense_cl.report.compare_file import method_of
from dense_cl.report.compare_page import comparison_page
from dense_cl.report.compare_results import read_results
from dense_cl.report.compare_runs import runs_of

Write = Callable[..., Path]
SETTINGS = {"size": 96, "images": {"test": 60}}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a writer of result files with records by image."""

    def result(
        method: str, seed: int, values: np.ndarray, task: str = "classification", **more: Any
    ) -> Path:
        folder = tmp_path / f"{method}_seed{seed}"
        folder.mkdir(exist_ok=True)
        content = {
            "task": task,
            "backbone": str(folder / "backbone.pth"),
            "seed": seed,
            "scores": {"knn": float(np.mean(values)), "linear": 0.5},
            "records": [{"image": f"{i}.jpg", "knn": float(v)} for i, v in enumerate(values)],
            "settings": SETTINGS | {"seed": seed},
            "versions": {"dense_cl": "1.0"},
            "command": f"dense-cl evaluate {task} --seed {seed}",
        }
        file = folder / f"{task}.json"
        file.write_text(json.dumps(content | more))
        return file

    return result


@pytest.fixture
def runs(write: Write) -> list[str]:
    """Three seeds of a control, of one just as good, and of one that is better by 0.4."""
    rng = np.random.default_rng(0)
    base = rng.normal(0.4, 0.05, 60)
    shifts = {"control": 0.0, "same": 0.0, "better": 0.4}
    return [
        str(write(method, seed, base + shift + rng.normal(0, 0.05, 60)))
        for method, shift in shifts.items()
        for seed in range(3)
    ]


def test_what_differs_and_what_does_not(runs: list[str]) -> None:
    results = read_results(runs)
    assert [r.method for r in results[::3]] == ["control", "same", "better"]
    compared = compare(results)
    assert compared["control"] == "control" and compared["questions"] == 2
    (entry,) = compared["tasks"]
    assert entry["score"] == "knn" and entry["images"] == 60
    same, better = entry["comparisons"]
    assert not same["shown"] and same["verdict"].startswith("no difference shown between same")
    assert better["shown"] and better["verdict"].startswith("better above control by 0.4")
    # Holm: the smaller of two p-values counts twice, the larger once.
    assert better["p_corrected"] == pytest.approx(2 * better["p_value"])
    assert same["p_corrected"] == pytest.approx(max(same["p_value"], better["p_corrected"]))
    assert better["images"] == 60 and better["paired_by_seed"] and better["seeds"] == [3, 3]
    for method in entry["methods"]:
        assert method["mean"] == pytest.approx(np.mean(method["scores"]))
        assert method["interval"][0] < method["mean"] < method["interval"][1]
    # Another control turns the sign around.
    turned = compare(results, control="better")["tasks"][0]["comparisons"]
    assert turned[0]["difference"] == pytest.approx(-better["difference"])
    assert turned[0]["verdict"].startswith("better above control by")


def test_what_is_left_out_is_said(write: Write, tmp_path: Path, capsys: Any) -> None:
    values = np.linspace(0, 1, 60)
    files = [str(write("e", 0, values, "t1")), str(write("f", 0, values, "t2"))]
    results = read_results(files)
    compared = compare(results)
    assert compared["questions"] == 0
    assert compared["notes"] == [
        "t1: not compared, all results are of the control e",
        "t2: not compared, no result is of the control e",
    ]
    page = comparison_page(compared, results)
    assert "Nothing was compared." in page and compared["notes"][1] in page
    more = [write("f", 0, values, "t1"), write("e", 0, values, "t2", scores={"linear": 0.5})]
    more += [write("g", 0, values, "t1")]
    assert main(["compare", *files, *map(str, more), "--scores", "linear"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == "t2: no result is of g"
    more = [write(name, 0, values, "t3", scores={"other": 0.5}) for name in "ef"]
    assert main(["compare", *files, *map(str, more), "--scores", "knn", "linear"]) == 0
    assert "t3: not compared, it has no score knn or linear" in capsys.readouterr().out


def test_a_score_has_to_be_in_all_results_of_a_task(write: Write) -> None:
    values = np.linspace(0, 1, 60)
    over = {"knn": 0.5, "over_500": {"mean_iou": 0.4}}
    files = [write("a", 0, values), write("b", 0, values, scores=over)]
    for order in (files, files[::-1]):
        results = read_results([str(file) for file in order])
        with pytest.raises(DenseCLError, match=r"a_seed0.* has no score 'over_500.mean_iou'"):
            compare(results, scores=["over_500.mean_iou"])
        assert "over_500.mean_iou" in comparison_page(compare(results), results)


def test_over_clustering_is_compared_over_seeds(write: Write) -> None:
    files = [
        str(write(m, s, np.zeros(1), scores={"knn": 0.0, "over_500": {"mean_iou": v + s / 10}}))
        for m, v in (("a", 0.2), ("b", 0.3))
        for s in (0, 1)
    ]
    (entry,) = compare(read_results(files), scores=["over_500.mean_iou"])["tasks"]
    assert entry["score"] == "over_500.mean_iou" and entry["images"] == 0
    assert entry["methods"][1]["mean"] == pytest.approx(0.35)


def test_episodes_are_not_called_images(write: Write) -> None:
    rng = np.random.default_rng(0)
    files, settings = [], {"episodes": 60, "images": 300}
    for method, shift in (("a", 0.0), ("b", 0.2)):
        values = rng.normal(0.5 + shift, 0.1, 60)
        records = [{"image": f"episode {e}", "knn": v} for e, v in enumerate(values)]
        more = {"records": records, "settings": settings}
        files.append(str(write(method, 0, values, "few-shot", **more)))
    results = read_results(files)
    compared = compare(results)
    (entry,) = compared["tasks"]
    verdict = entry["comparisons"][0]["verdict"]
    assert "only episodes were resampled" in verdict
    assert verdict.endswith("the images that episodes are drawn from were not resampled")
    assert "<caption>60 episodes</caption>" in comparison_page(compared, results)
    # A photo may have such a name.
    content = json.loads(Path(files[0]).read_text()) | {"settings": {"images": 60}}
    Path(files[0]).write_text(json.dumps(content))
    assert runs_of(read_results(files[:1]), "knn").unit == "images"


def test_without_records_seeds_alone_decide(write: Write) -> None:
    values = {"a": (0.50, 0.52, 0.51), "b": (0.55, 0.56, 0.57)}
    files = [
        str(write(m, seed, np.array([v]), records=[]))
        for m, by in values.items()
        for seed, v in enumerate(by)
    ]
    (found,) = compare(read_results(files))["tasks"][0]["comparisons"]
    assert found["images"] == 0
    assert found["p_value"] == pytest.approx(stats.ttest_rel(values["a"], values["b"]).pvalue)


def test_equal_seeds_show_nothing(write: Write, tmp_path: Path) -> None:
    values = {"g": 0.50, "h": 0.51}
    files = [str(write(m, s, np.array([v]), records=[])) for m, v in values.items() for s in (0, 1)]
    page, numbers = tmp_path / "page.html", tmp_path / "numbers.json"
    assert main(["compare", *files, "--out", str(page), "--json", str(numbers)]) == 0
    (entry,) = json.loads(numbers.read_text())["tasks"]
    (found,) = entry["comparisons"]
    assert found["p_corrected"] == 1 and not found["shown"]
    assert found["interval"] == [None, None] and entry["methods"][0]["interval"] == [None, None]
    assert "the spread between seeds cannot be estimated" in page.read_text()


@pytest.mark.parametrize("records", [True, False])
def test_a_result_does_not_differ_from_itself(write: Write, records: bool, capsys: Any) -> None:
    more = {} if records else {"records": []}
    files = [write("a", seed, np.linspace(0, 1, 60) + seed, **more) for seed in range(2)]
    once = [f"x={files[0]}", f"y={files[0]}"]
    twice = [*once, *(f"{method}={files[1]}" for method in "xy")]
    for runs in (once, twice, [f"x={files[0].parent}", f"y={files[0].parent}"]):
        (found,) = compare(read_results(runs))["tasks"][0]["comparisons"]
        assert found["difference"] == 0 and found["p_corrected"] == 1 and not found["shown"]
        assert found["verdict"].startswith("no difference shown between y and x: their")
    assert main(["compare", *once]) == 0
    assert "no difference shown" in capsys.readouterr().out


def test_one_file_counts_once_for_each_method(write: Write) -> None:
    file = write("a", 0, np.linspace(0, 1, 60))
    for runs in ([str(file), str(file)], [str(file), str(file.parent)]):
        with pytest.raises(DenseCLError, match=r"was given twice as a .* A=PATH B=PATH"):
            read_results(runs)


def test_records_that_do_not_make_the_score_are_not_used(write: Write) -> None:
    file = write("a", 0, np.linspace(0, 1, 60), scores={"knn": 0.1, "linear": 0.5})
    other = write("b", 0, np.linspace(0, 1, 60))
    results = read_results([str(file), str(other)])
    runs = runs_of(results[:1], "knn")
    assert runs.images == 0 and runs.scores_S.tolist() == [0.1]
    assert runs.lacking == "records of a with seed 0 that give 0.5 and not the knn of 0.1"
    compared = compare(results)
    (entry,) = compared["tasks"]
    assert entry["lacking"] == runs.lacking
    assert runs.lacking in entry["comparisons"][0]["verdict"]
    assert runs.lacking in comparison_page(compared, results)
    assert runs_of(results[:1], "linear").lacking == "no records of linear by image"


@pytest.mark.parametrize("without", [0, 1])
def test_records_of_some_seeds_are_not_used(write: Write, without: int) -> None:
    values = np.linspace(0, 1, 60)
    files = [
        str(write("a", seed, values + seed, **({"records": []} if seed == without else {})))
        for seed in range(2)
    ]
    results = read_results([*files, str(write("b", 0, values)), str(write("b", 1, values + 0.3))])
    runs = runs_of(results[:2], "knn")
    assert runs.images == 0 and runs.scores_S == pytest.approx([0.5, 1.5])
    assert runs.lacking == f"no records by image of a with seed {without}"
    assert runs_of(results[2:], "knn").images == 60
    (found,) = compare(results)["tasks"][0]["comparisons"]
    assert found["images"] == 0 and found["verdict"].endswith(
        f"{runs.lacking}: the images are taken as they are"
    )


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


def test_confusions_make_mean_iou(write: Write) -> None:
    counts = np.random.default_rng(0).integers(0, 9, (60, 3, 3))
    scores = segmentation_scores(torch.from_numpy(counts.sum(axis=0)))
    records = [
        {"image": str(i), "confusion": sparse(torch.from_numpy(c))} for i, c in enumerate(counts)
    ]
    stated = {"mean_iou": scores.mean_iou, "pixel_accuracy": scores.pixel_accuracy}
    more: dict[str, Any] = {"scores": stated, "records": records, "settings": {"classes": 3}}
    file = write("a", 0, np.zeros(1), "segmentation", **more)
    for name in stated:
        runs = runs_of(read_results([str(file)]), name)
        assert runs.images == 60 and runs.scores_S[0] == pytest.approx(stated[name])


def test_nested_scores_and_records_meet(write: Write) -> None:
    records = [{"image": str(i), "corloc": {"lost": i % 2}} for i in range(4)]
    file = write("a", 0, np.zeros(1), scores={"corloc": {"lost": 0.5}}, records=records)
    assert runs_of(read_results([str(file)]), "corloc.lost").images == 4


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


def test_command_line(runs: list[str], tmp_path: Path, capsys) -> None:
    page, numbers = tmp_path / "page.html", tmp_path / "numbers.json"
    assert main(["compare", *runs, "--out", str(page), "--json", str(numbers)]) == 0
    printed = capsys.readouterr().out
    assert "no difference shown between same and control" in printed
    content = json.loads(numbers.read_text())
    assert len(content["runs"]) == 9 and content["runs"][0]["settings"]["size"] == 96
    text = page.read_text()
    for wanted in (
        "better above control by 0.4",
        "dense-cl evaluate classification --seed 2",
        "2 questions at a level of 0.05",
        "images.test",
        "dense_cl 1.0",
    ):
        assert wanted in text
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)  # nothing from elsewhere
    assert text.count("<img") == 2
    assert main(["compare", *runs, "--alpha", "5"]) == 2


def test_nothing_known_is_null_in_json(write: Write, tmp_path: Path) -> None:
    files = [str(write(name, 0, np.array([0.5]), records=[])) for name in "ab"]
    numbers = tmp_path / "numbers.json"
    page = tmp_path / "page.html"
    assert main(["compare", *files, "--json", str(numbers), "--out", str(page)]) == 0
    (found,) = json.loads(numbers.read_text())["tasks"][0]["comparisons"]
    assert found["interval"] == [None, None] and not found["shown"]
    assert "cannot be told" in page.read_text()


def test_pictures_are_ordered_by_what_the_method_gains(write: Write, tmp_path: Path) -> None:
    files = []
    for method, values in (("control", np.zeros(5)), ("ours", np.array([0.3, -1, 1, 0.1, 0.2]))):
        file = write(method, 0, values)
        content = json.loads(file.read_text())
        for number, record in enumerate(content["records"]):
            name = f"{method}{number}.png"
            shade = 10 + 50 * number
            Image.new("RGB", (20, 10), (shade, shade, shade)).save(file.parent / name)
            record["pictures"] = {"segmentation": name}
        file.write_text(json.dumps(content))
        files.append(str(file))
    results = read_results(files)
    page = comparison_page(compare(results), results)
    jpeg = base64.b64decode(re.findall(r"data:image/jpeg;base64,([^\"]*)", page)[0])
    drawn = np.asarray(Image.open(io.BytesIO(jpeg)).convert("L")).astype(int)
    # Two columns of 320 pixels, titles of 24, rows of 160 and gaps of 8.
    shown = [drawn[24 + 168 * row + 80, 100] for row in range(4)]
    expected = [10 + 50 * number for number in (1, 3, 0, 2)]  # of -1, 0.1, 0.3 and 1
    assert shown == pytest.approx(expected, abs=4)
    content["records"][0]["knn"] = None  # one has no score: then they stay in their order
    Path(files[1]).write_text(json.dumps(content))
    lacking = read_results(files)
    assert "data:image/jpeg" in comparison_page(compare(lacking), lacking)
    (Path(files[1]).parent / "ours2.png").unlink()
    with pytest.raises(DenseCLError, match=r"ours2.png' of a record cannot be read"):
        comparison_page(compare(results), results)


def test_results_of_evaluate_can_be_compared(tmp_path: Path) -> None:
    for seed in (0, 1):
        out = tmp_path / "results" / f"{seed}.json"
        command = (
            f"evaluate invariance --backbone random --scenes 3 --steps 3 --size 32 --seed {seed}"
        )
        options = ["--factors", "occlusion", "--reference-scenes", "8", "--out", str(out)]
        assert main([*command.split(), *options]) == 0
    page = tmp_path / "page.html"
    assert main(["compare", str(tmp_path / "results"), "--out", str(page)]) == 0
    assert "dense-cl evaluate invariance --backbone random" in page.read_text()


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


def test_the_page_says_what_cannot_be_told_and_takes_any_name(write: Write) -> None:
    files = [
        write("a", 0, np.zeros(1), records=[], scores={"knn": 0.5}),
        write("b", 0, np.zeros(1), records=[], scores={"knn": 0.7}),
    ]
    results = read_results([f"$a_{{$={files[0]}", f"b={files[1]}"])
    page = comparison_page(compare(results), results)
    assert "<td>cannot be told</td>" in page
    assert "<td>no difference shown</td>" not in page
