"""Results compared, and the page that says so."""

import base64
import io
import json
import re
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
from dense_cl.report.compare_page import comparison_page
from dense_cl.report.compare_results import read_results
from dense_cl.report.compare_runs import runs_of
from tests.report.conftest import Write


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


def test_other_architectures_are_said(write: Write) -> None:
    values = np.linspace(0, 1, 60)

    def notes(*architectures: str | None) -> list[str]:
        results = read_results(
            [
                str(write(name, 0, values, "t", backbone_architecture=found))
                for name, found in zip("efg", architectures, strict=False)
            ]
        )
        return compare(results)["notes"]

    small, large = "ResNet, 11 parameters", "ResNet, 23 parameters"
    assert notes(small, small) == notes(small, None) == []
    (note,) = notes(small, large, small)
    assert note.startswith(f"t: architectures differ ({small}: e, g; {large}: f), which may be")


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


def test_the_page_says_what_cannot_be_told_and_takes_any_name(write: Write) -> None:
    files = [
        write("a", 0, np.zeros(1), records=[], scores={"knn": 0.5}),
        write("b", 0, np.zeros(1), records=[], scores={"knn": 0.7}),
    ]
    results = read_results([f"$a_{{$={files[0]}", f"b={files[1]}"])
    page = comparison_page(compare(results), results)
    assert "<td>cannot be told</td>" in page
    assert "<td>no difference shown</td>" not in page
