"""Classification of pooled features: known answers, and wrong input."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.classification import evaluate_classification
from dense_cl.evaluation.labelled_images import LabelledImages

COLOURS = {"blue": (255, 60, 60), "green": (60, 255, 60), "red": (60, 60, 255)}  # BGR


class Identity(nn.Module):
    """The picture itself as the only stage: pooled, its mean colour."""

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (image,)


def coloured(folder: Path, seed: int, names: tuple[str, ...] = tuple(COLOURS)) -> Path:
    """Write eight noisy pictures of each colour into a folder of its name."""
    rng = np.random.default_rng(seed)
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(8):
            noise = rng.normal(COLOURS[name], 40, (24, 24, 3))
            picture = noise.clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / name / f"{number}.png"), picture)
    return folder


def test_colours_are_told_apart_by_their_mean(tmp_path: Path) -> None:
    sets = [LabelledImages.find(coloured(tmp_path / s, n)) for n, s in enumerate(("a", "b", "c"))]
    result = evaluate_classification(Identity(), *sets, size=16, l2=(1e-1, 1e-3))
    assert result["knn"] == result["linear"] == 1.0
    assert result["settings"]["classes"] == 3
    assert set(result["val"].values()) == {1.0} and result["fit"]["converged"]


def test_labels_that_have_nothing_to_do_with_the_pictures_are_not_learnt(tmp_path: Path) -> None:
    """With as strong a penalty as this the linear classifier only knows the class frequencies."""
    sets = []
    for seed, name in enumerate("ab"):
        coloured(tmp_path / name, seed, ("red",))
        lines = [f"{name}/red/{n}.png, {'often' if n < 6 else 'rarely'}" for n in range(8)]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
        sets.append(LabelledImages.find(tmp_path / f"{name}.txt"))
    result = evaluate_classification(Identity(), *sets, size=16, l2=(1e6,))
    assert result["linear"] == 6 / 8


def test_penalty_is_chosen_on_val(tmp_path: Path) -> None:
    train, test, val = (LabelledImages.find(coloured(tmp_path / s, n)) for n, s in enumerate("abc"))
    result = evaluate_classification(Identity(), train, test, val, size=16, l2=(1e9, 1e-3))
    # At 1e9 the weights are nothing and every class is as likely: one of three is right.
    assert result["val"] == {"1e+09": pytest.approx(1 / 3), "0.001": 1.0}
    assert result["fit"]["l2"] == 1e-3


def test_wrong_input(tmp_path: Path) -> None:
    train = LabelledImages.find(coloured(tmp_path / "a", 0, ("red", "green")))
    test = LabelledImages.find(coloured(tmp_path / "b", 1))
    other = LabelledImages.find(coloured(tmp_path / "c", 2, ("red", "green")))
    with pytest.raises(DenseCLError, match="of the test images .*'blue'"):
        evaluate_classification(Identity(), train, test, size=16)
    with pytest.raises(DenseCLError, match="of the validation images .*'blue'"):
        evaluate_classification(Identity(), train, other, test, size=16)
    with pytest.raises(DenseCLError, match="no validation images"):
        evaluate_classification(Identity(), test, train, size=16, l2=(1.0, 2.0))


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    folders = [str(coloured(tmp_path / s, n)) for n, s in enumerate("ab")]
    out = tmp_path / "result.json"
    paths = ["--train", folders[0], "--test", folders[1]]
    options = ["--backbone", "random", "--size", "32", "--out", str(out)]
    assert main(["evaluate", "classification", *paths, *options]) == 0
    result = json.loads(out.read_text())
    printed = capsys.readouterr().out
    assert f"{100 * result['linear']:.1f}" in printed and f"{100 * result['knn']:.1f}" in printed
    assert result["linear"] == 1.0  # flat colours survive any convolution
