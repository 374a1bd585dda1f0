"""One command for several backbones and seeds."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dense_cl.cli import main
from dense_cl.models import build_backbone


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a folder with pictures of three classes, and two seeds of a method."""
    rng = np.random.default_rng(0)
    for label in "abc":
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(4):
            picture = rng.integers(0, 256, (16, 16, 3), np.uint8)
            cv2.imwrite(str(tmp_path / "images" / label / f"{number}.png"), picture)
    for seed in (1, 2):
        torch.manual_seed(10 + seed)
        (tmp_path / f"ours_seed{seed}").mkdir()
        weights = build_backbone({"type": "ResNet", "depth": 18}).state_dict()
        torch.save(weights, tmp_path / f"ours_seed{seed}" / "backbone.pth")
    return tmp_path


def evaluate(work: Path, *options: str) -> int:
    images = ["--images", str(work / "images"), "--size", "16", "--episodes", "2", "--way", "3"]
    shots = ["--shot", "1", "--query", "2"]
    return main(["evaluate", "few-shot", *images, *shots, *options])


def test_a_result_for_each_goes_to_compare(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = str(work / "ours_seed{seed}" / "backbone.pth")
    fixed = str(work / "ours_seed1" / "backbone.pth") + ":resnet18"
    out = work / "results"
    backbones = ["--backbone", "random", ours, fixed, "--seed", "1", "2"]
    assert evaluate(work, *backbones, "--out", str(out)) == 0
    results = [json.loads(file.read_text()) for file in sorted((out / "few-shot").glob("*.json"))]
    found = {(result["backbone"], result["seed"]) for result in results}
    files = {(ours.replace("{seed}", str(seed)), seed) for seed in (1, 2)}
    assert found == {("random", 1), ("random", 2), *files, (fixed, 1)} and len(results) == 5
    assert (
        len({result["backbone_fingerprint"] for result in results}) == 4
    )  # the last is the third again
    capsys.readouterr()
    of_both = [str(f) for n in ("random_*", "*backbone.pth_*") for f in out.glob(f"few-shot/{n}")]
    assert main(["compare", *of_both, "--control", "random"]) == 0
    assert "between ours and random" in capsys.readouterr().out


def test_nothing_is_done_before_all_can_be(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dense_cl.evaluation.few_shot.evaluate_few_shot", None)
    assert evaluate(work, "--backbone", "random", "--seed", "1", "2") == 2
    assert "2 backbones and seeds need --out DIR" in capsys.readouterr().err
    one_file = ["--backbone", "random", "random:resnet34", "--out", str(work / "all.json")]
    assert evaluate(work, *one_file) == 2
    assert "need --out DIR" in capsys.readouterr().err
    missing = str(work / "ours_seed{seed}" / "backbone.pth")
    assert evaluate(work, "--backbone", missing, "--seed", "1", "3", "--out", str(work / "r")) == 2
    assert "ours_seed3/backbone.pth' is not a file" in capsys.readouterr().err
    assert not (work / "r").exists()
    once = ["--backbone", str(work / "ours_seed1" / "backbone.pth"), "--seed", "1", "2"]
    assert evaluate(work, *once, "--out", str(work / "r.json")) == 2
    assert "is the same for all of them. Write {seed}" in capsys.readouterr().err


def test_results_of_another_command_stay(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--backbone", "random", "--seed", "1", "2", "--out", str(work / "r")]
    assert evaluate(work, *options) == 0
    assert evaluate(work, *options) == 0  # again
    capsys.readouterr()
    assert evaluate(work, *options, "--draw-seed", "3") == 2
    assert "_seed1.json' is of another command. Delete it, or" in capsys.readouterr().err


def test_pages_of_one_backbone_are_refused(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = ["evaluate", "localization", "--annotations", "a.json", "--report", "page.html"]
    seeds = ["--backbone", "random", "--seed", "1", "2", "--out", str(work / "r")]
    assert main([*task, *seeds]) == 2
    assert "--report is a page of one backbone and seed" in capsys.readouterr().err
