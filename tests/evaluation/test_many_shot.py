"""Many-shot on colours: the choice of the penalty, the split, several labels, wrong input."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from torch import Tensor, nn

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.confusion import counted_scores
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.image_sets import Splits
from dense_cl.evaluation.labelled_images import LabelledImages
from dense_cl.evaluation.many_shot import MAP, evaluate_many_shot
from dense_cl.evaluation.results import counts_by_class, write_result
from dense_cl.sources.arrays import ArraySource

COLOURS = {"blue": (255, 60, 60), "green": (60, 255, 60), "red": (60, 60, 255)}  # BGR


class Identity(nn.Module):
    """The picture itself as the only stage: pooled, its mean colour."""

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (image,)


def coloured(folder: Path, seed: int, each: int = 8, noise: float = 40.0) -> Path:
    """Write noisy pictures of each colour, whose mean colour varies too."""
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            shade = np.array(colour) + rng.normal(0, noise, 3)
            picture = rng.normal(shade, 10, (24, 30, 3)).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / name / f"{number}.png"), picture)
    return folder


def sets(tmp_path: Path, **options) -> list[LabelledImages]:
    return [LabelledImages.find(coloured(tmp_path / s, n, **options)) for n, s in enumerate("abc")]


def test_colours_are_told_apart_and_the_records_make_the_scores(tmp_path: Path) -> None:
    train, test, val = sets(tmp_path, noise=150)
    train = train.take([*range(3, 8), *range(10, 24)])  # 5, 6 and 8 of the three colours
    result = evaluate_many_shot(
        Identity(), Splits.of(train, test, val), "mean per class", 16, [1e-2, 1.0, 1e9]
    )
    assert result["task"] == "many-shot" and result["metric"] == "mean per class"
    assert result["score"] == result["scores"]["mean_class_accuracy"] > 0.5
    values = [record["accuracy"] for record in result["records"]]
    assert np.mean(values) == result["scores"]["accuracy"] and len(values) == 24
    again = counted_scores(counts_by_class(result).sum(0))
    assert again.mean_class_accuracy == result["score"]
    assert again.pixel_accuracy == pytest.approx(result["scores"]["accuracy"])
    assert result["records"][0]["image"] == "blue/0.png"
    assert result["val"][f"{result['fit']['l2']:g}"] == max(result["val"].values())
    assert min(result["val"].values()) == pytest.approx(1 / 3)  # 1e9 leaves the frequencies
    assert json.loads(json.dumps(result)) == result


def test_the_weakest_of_equally_good_penalties_is_taken_and_training_includes_val(
    tmp_path: Path,
) -> None:
    train, test, val = sets(tmp_path, noise=1)
    result = evaluate_many_shot(
        Identity(), Splits.of(train, test, val), size=16, penalties=[1e1, 1e-3, 1e-1]
    )
    assert set(result["val"].values()) == {1.0}
    assert result["fit"]["l2"] == 1e-3  # the first in ascending order
    # Refit on train + val: an outlier in val that train alone would not know moves the answer.
    strange = LabelledImages(val.source, tuple("red" if n == "blue" else n for n in val.names))
    other = evaluate_many_shot(
        Identity(), Splits.of(train, test, strange), size=16, penalties=[1.0]
    )
    plain = evaluate_many_shot(Identity(), Splits.of(train, test, val), size=16, penalties=[1.0])
    assert other["fit"]["loss"] > 3 * plain["fit"]["loss"]


def test_a_fifth_of_training_is_for_validation_as_the_authors_shuffle() -> None:
    source = ArraySource(np.zeros((23, 2, 2, 3), np.uint8), "x")
    images = LabelledImages(source, ("a", *"b" * 22))
    splits = Splits.of(images, images)
    np.random.seed(0)
    indices = list(range(23))
    np.random.shuffle(indices)
    found = [[int(s.source.name(i)[2:]) for i in range(len(s))] for s in (splits.val, splits.train)]
    assert found == [indices[:4], indices[4:]]


def test_several_labels_are_scored_by_average_precision(tmp_path: Path) -> None:
    """Each image has a class by its colour, red ones a second that green ones have too."""
    labels = {"blue": "cold", "green": "warm+plant", "red": "warm"}
    found = [
        LabelledImages(s.source, tuple(labels[n] for n in s.names)) for s in sets(tmp_path, noise=1)
    ]
    result = evaluate_many_shot(Identity(), Splits.of(*found), MAP, 16, [1.0])
    assert result["scores"] == {"mean_average_precision": 1.0} and result["score"] == 1
    assert result["settings"]["classes"] == 3
    assert result["records"][8]["labels"] == [0, 1, 1]  # cold, plant, warm
    write_result(result, tmp_path / "result.json")
    numbers = tmp_path / "numbers.json"
    runs = [f"{name}={tmp_path / 'result.json'}" for name in "ab"]
    assert main(["compare", *runs, "--json", str(numbers)]) == 0
    (task,) = json.loads(numbers.read_text())["tasks"]
    assert task["score"] == "mean_average_precision" and task["images"] == 24


def test_wrong_input(tmp_path: Path) -> None:
    train, test, val = sets(tmp_path)
    strange = LabelledImages(test.source, ("bleu", *test.names[1:]))
    with pytest.raises(DenseCLError, match="of the test images .*'bleu'.*Did you mean 'blue'"):
        Splits.of(train, strange, val)
    with pytest.raises(DenseCLError, match="metric 'top 1' is not known. Did you mean 'top-1'"):
        evaluate_many_shot(Identity(), Splits.of(train, test, val), "top 1")
    with pytest.raises(DenseCLError, match="3 training images are too few"):
        Splits.of(train.subset(3), test)
    nothing = LabelledImages(test.source, ("+",) * len(test))
    with pytest.raises(DenseCLError, match="none of the test images has a label"):
        Splits.of(train, nothing, val, multi_label=True)
    with pytest.raises(DenseCLError, match="none of the validation images has a label"):
        Splits.of(train, test, LabelledImages(val.source, ("+",) * len(val)), multi_label=True)
    twice = LabelledImages.joined([test.take([0]), test])
    with pytest.raises(DenseCLError, match="is there twice"):
        Splits.of(train, twice, val)
    with pytest.raises(DenseCLError, match="is there twice"):
        Splits.of(LabelledImages.joined([train, train.take([0])]), test)
    order = np.arange(6)
    np.random.RandomState(0).shuffle(order)
    names = tuple("blue" if i == order[0] else "red" for i in range(6))
    few = LabelledImages(ArraySource(np.zeros((6, 2, 2, 3), np.uint8), "few"), names)
    with pytest.raises(DenseCLError, match="the other 5 are all of class 'red'"):
        Splits.of(few, few)
    with pytest.raises(DenseCLError, match=r"0\.png' is among the training .* and among the test"):
        Splits.of(train, LabelledImages.find(tmp_path / "b" / ".." / "a"), val)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(coloured(tmp_path / s, n, noise=1)) for n, s in enumerate("ab")]
    out, cache = tmp_path / "result.json", tmp_path / "cache"
    options = ["--backbone", "random", "--size", "32", "--l2", "0.1", "1", "--out", str(out)]
    paths = ["--train", folders[0], "--test", folders[1], "--cache", str(cache)]
    assert main(["evaluate", "many-shot", *paths, *options]) == 0
    result = json.loads(out.read_text())
    assert result["settings"]["images"] == {"training": 20, "validation": 4, "test": 24}
    assert f"{100 * result['score']:.1f}" in capsys.readouterr().out
    assert len(list(cache.rglob("*.npz"))) == 3
    assert main(["evaluate", "many-shot", "--train", folders[0], *options]) == 2
    assert "--train and --test belong together" in capsys.readouterr().err
    wrong = ["--dataset", "dtd", "--root", str(tmp_path)]
    assert main(["evaluate", "many-shot", *wrong, *options]) == 2
    assert "data set 'dtd' is not complete" in capsys.readouterr().err


def test_grocery_is_learnt_from_a_cache_of_its_features(shared_data, tmp_path: Path) -> None:
    """A slice of real photos, twice: the second time without the backbone."""
    grocery = shared_data("grocery")
    train, test = (
        LabelledImages.find(grocery / f"{s}.txt", column=2).subset(60) for s in ("train", "test")
    )
    known = set(train.names)
    test = test.take([i for i, name in enumerate(test.names) if name in known])
    results = [
        evaluate_many_shot(
            "random", Splits.of(train, test), size=32, penalties=[1.0, 10.0],
            extraction=Extraction(tmp_path),
        )
        for _ in range(2)
    ]  # fmt: skip
    assert results[0] == results[1]
    assert results[0]["score"] > 2 / len(known)
