"""Few-shot on colours, on noise, and from the command line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.few_shot import evaluate_few_shot
from dense_cl.evaluation.labelled_images import LabelledImages
from dense_cl.sources.arrays import ArraySource


class Identity(nn.Module):
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (image,)


def images(spread: float, classes: int = 6, each: int = 12) -> LabelledImages:
    """Flat images; classes differ in their grey level by ``spread``."""
    rng = np.random.default_rng(0)
    level = np.repeat(np.arange(classes), each) * spread + 60
    pixels = (level[:, None] + rng.normal(0, 5, (len(level), 3))).clip(0, 255).astype(np.uint8)
    array = np.broadcast_to(pixels[:, None, None], (len(level), 8, 8, 3))
    names = tuple(np.repeat([f"class {k}" for k in range(classes)], each))
    return LabelledImages(ArraySource(np.ascontiguousarray(array), "grey"), names)


def test_classes_that_differ_are_always_told_apart_and_equal_ones_by_chance() -> None:
    settings = dict(way=5, shot=2, query=8, episodes=300, size=8)
    clear = evaluate_few_shot(Identity(), images(30), **settings)
    assert clear["scores"]["accuracy"] > 0.99
    blind = evaluate_few_shot(Identity(), images(0), **settings)
    # 300 episodes of 40 queries; the images are few, so that chance is met within 3 points.
    assert abs(blind["scores"]["accuracy"] - 1 / 5) < 0.03
    assert 0 < blind["interval"] < 0.02
    values = [record["accuracy"] for record in blind["records"]]
    assert len(values) == 300 and np.mean(values) == pytest.approx(blind["scores"]["accuracy"])
    assert blind["interval"] == pytest.approx(1.96 * np.std(values) / np.sqrt(300))


def test_episodes_are_the_same_for_all_seeds_of_pretraining() -> None:
    settings = dict(way=3, shot=1, query=3, episodes=20, size=8)
    first, again, other = (
        evaluate_few_shot(Identity(), images(5), seed=s, draw_seed=d, **settings)["records"]
        for s, d in ((0, 0), (1, 0), (0, 1))
    )
    assert first == again != other


def test_the_settings_tell_one_data_set_from_another() -> None:
    settings = dict(way=3, shot=1, query=3, episodes=2, size=8)
    grey = images(5)
    others = LabelledImages(grey.source, (*grey.names[:-1], grey.names[0]))
    first, again, other = (
        evaluate_few_shot(Identity(), each, **settings)["settings"] for each in (grey, grey, others)
    )
    assert first == again
    assert {key for key in first if first[key] != other[key]} == {"data"}


def test_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    for split in ("one", "two"):
        for name, level in (("dark", 30), ("light", 220)):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(4):
                file = tmp_path / split / name / f"{number}.png"
                cv2.imwrite(str(file), np.full((16, 16, 3), level + number, np.uint8))
    out = tmp_path / "result.json"
    words = ["evaluate", "few-shot", "--backbone", "random", "--size", "32", "--no-cache"]
    paths = ["--images", str(tmp_path / "one"), str(tmp_path / "two")]
    episode = ["--way", "2", "--shot", "3", "--query", "5", "--episodes", "10"]
    assert main([*words, *paths, *episode, "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["settings"]["images"] == 16 and result["scores"]["accuracy"] == 1.0
    assert "2-way 3-shot  100.00 +- 0.00" in capsys.readouterr().out
    # From another folder the images have the same names.
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--images", "one", "two", *episode, "--out", "again.json"]) == 0
    again = json.loads(Path("again.json").read_text())
    assert again["settings"] == result["settings"]
    assert main([*words, "--images", "one", "one", *episode]) == 2
    assert re.search(r"one/dark/0\.png' is there twice", capsys.readouterr().err)
    assert main([*words, *paths, *episode[:-4], "--query", "6"]) == 2
    assert "only 0 of 2 classes have so many" in capsys.readouterr().err


def test_one_episode_has_no_interval() -> None:
    with pytest.raises(DenseCLError, match="1 episodes.*two episodes, for an interval"):
        evaluate_few_shot(Identity(), images(5), way=3, shot=1, query=3, episodes=1, size=8)
