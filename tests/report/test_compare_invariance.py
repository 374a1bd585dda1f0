"""Nulls and sweeps of invariances on the page of compare."""

from pathlib import Path

import cv2
import numpy as np

from dense_cl.cli import main
from dense_cl.report.compare_invariance import nulls, sweeps
from dense_cl.report.compare_results import read_results
from tests.report.conftest import Write


def test_chance_stands_beside_the_score(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(4):
        blobs = cv2.resize(rng.integers(0, 256, (4, 4, 3), np.uint8), (32, 32))
        cv2.imwrite(str(tmp_path / "photos" / f"{number}.png"), blobs)
    photos = ["--images", str(tmp_path / "photos"), "--transforms", "hue", "flip", "--steps", "3"]
    options = ["--backbone", "random", "--seed", "0", "1", "--size", "32"]
    out = ["--out", str(tmp_path / "out")]
    assert main(["evaluate", "invariance", *photos, *options, *out]) == 0
    results = read_results(tmp_path / "out")
    (table,) = nulls(results, "hue_cosine")
    for result in results:
        chance = result.content["nulls"]["permuted"]["scores"]["hue_cosine"]
        values = f"<td>{result.scores['hue_cosine']:.4g}</td><td>{chance:.4g}</td>"
        assert f"seed {result.seed}</th>{values}" in table
    (figure,) = sweeps(results)
    assert "cosine over the strength of each transform" in figure
    page = tmp_path / "page.html"
    assert main(["compare", str(tmp_path / "out"), "--out", str(page)]) == 0
    assert table in page.read_text() and figure in page.read_text()


def test_what_others_write_there_is_passed_over(write: Write) -> None:
    values = np.linspace(0, 1, 60)
    for content in (
        {"nulls": {"permuted": 0.1}, "curves": {"hue": [1, 2]}},
        {"nulls": {"permuted": {"scores": None}}, "curves": {"hue": {"strength": [1, 2]}}},
        {"nulls": 3, "curves": {"hue": {"strength": [1, 2], "cosine": [1]}}},
        {"curves": {"hue": {"strength": [1, 2], "cosine": [0.5, None]}}},
    ):
        results = read_results(write("a", 0, values, **content))
        assert nulls(results, "knn") == sweeps(results) == []


def test_other_tasks_have_neither(runs: list[str]) -> None:
    results = read_results(runs)
    assert nulls(results, "knn") == sweeps(results) == []
