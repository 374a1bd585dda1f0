"""Fine-tuning on colours: it learns, repeats itself, and chooses by validation."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation import fine_tuning
from dense_cl.evaluation.classifier_training import BATCH, Recipe, _Augmented, _order, fine_tune
from dense_cl.evaluation.fine_tuning import DECAYS, RATES, evaluate_fine_tuning
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.evaluation.image_sets import Splits
from dense_cl.evaluation.labelled_images import LabelledImages
from dense_cl.evaluation.many_shot import MAP
from dense_cl.sources.arrays import ArraySource
from dense_cl.sources.base import UnreadableImageError


class Tiny(nn.Module):
    """One convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.norm(self.conv(image)).relu(),)


def coloured(seed: int, each: int = 10, joined: bool = False) -> LabelledImages:
    rng = np.random.default_rng(seed)
    colours = np.repeat([[220, 40, 40], [40, 220, 40], [40, 40, 220]], each, axis=0)
    pixels = rng.normal(colours[:, None, None], 20, (3 * each, 12, 12, 3)).clip(0, 255)
    names = np.repeat(["warm", "plant", "cold+far" if joined else "cold"], each)
    return LabelledImages(ArraySource(pixels.astype(np.uint8), "colours"), tuple(names.tolist()))


def splits(joined: bool = False) -> Splits:
    return Splits.of(*(coloured(s, joined=joined) for s in (0, 1, 2)), multi_label=joined)


RECIPE = Recipe(steps=12, size=8)


def test_colours_are_learnt_and_the_backbone_stays_as_it_was() -> None:
    torch.manual_seed(0)
    module = Tiny()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    results = [
        evaluate_fine_tuning(module, splits(), "mean per class", RECIPE, [1e-6, 0.1], [0.0])
        for _ in range(2)
    ]
    assert results[0] == results[1]
    assert results[0]["score"] == 1.0 and results[0]["fit"]["rate"] == 0.1
    assert results[0]["val"]["0.1, 0"] == 1.0 > results[0]["val"]["1e-06, 0"]
    assert len(results[0]["records"]) == 30
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_all_of_the_backbone_is_trained() -> None:
    torch.manual_seed(0)
    frozen = FrozenBackbone.wrap(Tiny())
    tuned = fine_tune(frozen, coloured(0), torch.arange(30) // 10, 3, 0.05, 0.0, RECIPE)
    for name, value in tuned.backbone.state_dict().items():
        assert not torch.equal(value, frozen.module.state_dict()[name]), name
    far = fine_tune(frozen, coloured(0), torch.arange(30) // 10, 3, 0.05, 1.0, RECIPE)
    assert far.linear.weight.norm() < tuned.linear.weight.norm()  # decay shrinks


def test_workers_change_nothing() -> None:
    torch.manual_seed(0)
    frozen, images = FrozenBackbone.wrap(Tiny()), coloured(0)
    ends = [
        fine_tune(frozen, images, torch.arange(30) // 10, 3, 0.05, 0.0, Recipe(4, 8, workers))
        for workers in (0, 1, 2)
    ]
    for other in ends[1:]:
        assert torch.equal(other.linear.weight, ends[0].linear.weight)


def test_a_plus_joins_classes_only_for_the_metric_of_several() -> None:
    sets = [coloured(seed, joined=True) for seed in (0, 1)]
    other = coloured(2)  # has "cold", which the others know together with "far" only
    assert Splits.of(sets[0], other, sets[1], multi_label=True)
    with pytest.raises(DenseCLError, match="for example 'cold'"):
        Splits.of(sets[0], other, sets[1])
    names = np.where(np.array(sets[0].names) == "cold+far", "warm++", "warm")
    two = LabelledImages(sets[0].source, tuple(names.tolist()))
    assert set(Splits.of(two, two.take(np.arange(30)), None).train.names) <= {"warm", "warm++"}


def test_several_labels() -> None:
    torch.manual_seed(0)
    result = evaluate_fine_tuning(Tiny(), splits(joined=True), MAP, RECIPE, [0.1], [0.0])
    assert result["scores"]["mean_average_precision"] == 1.0
    assert result["settings"]["classes"] == 4 and result["val"] == {}


def test_the_grid_is_the_authors() -> None:
    grid = [(rate, decay / rate) for rate in RATES for decay in DECAYS]
    rates = torch.logspace(-4, -1, 4).flip(0)
    decays = torch.cat([torch.zeros(1), torch.logspace(-6, -3, 4)])
    expected = [(r.item(), (d / r).item()) for r in rates for d in decays]
    np.testing.assert_allclose(grid, expected, rtol=1e-5)
    assert Recipe().steps == 5000 and BATCH == 64


def test_every_image_is_seen_once_in_a_pass() -> None:
    batches = _order(BATCH + 1, Recipe(steps=4))
    assert [len(batch) for batch in batches] == [BATCH] * 4  # one image makes no batch
    batches = _order(100, Recipe(steps=4))
    assert [len(batch) for batch in batches] == [64, 36, 64, 36]
    places = [[place for _, place in batch] for batch in batches]
    assert sorted(places[0] + places[1]) == sorted(places[2] + places[3]) == list(range(100))
    assert places[0] != places[2]


def test_no_two_crops_are_alike_whatever_the_seed() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), dtype=np.uint8)
    images = _Augmented(LabelledImages(ArraySource(noise, "noise"), ("a",)), 32)
    seeds = [
        number
        for seed in (0, 1, 2)
        for batch in _order(20, Recipe(steps=1, seed=seed))
        for number, _ in batch
    ]
    assert len({images[number, 0][0].numpy().tobytes() for number in seeds}) == 60
    assert images[seeds[0], 0][0].equal(images[seeds[0], 0][0])


def test_wrong_input() -> None:
    with pytest.raises(DenseCLError, match="metric 'mAP' is not known"):
        evaluate_fine_tuning(Tiny(), splits(), "mAP", RECIPE)
    with pytest.raises(DenseCLError, match="rate 1e\\+30, decay 0 diverged"):
        evaluate_fine_tuning(Tiny(), splits(), "top-1", RECIPE, [1e30], [0.0])


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    for split, seed in (("a", 0), ("b", 1)):
        images = coloured(seed, each=5)
        for index, name in enumerate(images.names):
            file = tmp_path / split / name / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images.source.load(index)).save(file)
    out = tmp_path / "result.json"
    words = ["evaluate", "fine-tuning", "--backbone", "random", "--size", "32", "--steps", "2"]
    paths = ["--train", str(tmp_path / "a"), "--test", str(tmp_path / "b"), "--out", str(out)]
    assert main([*words, *paths, "--rates", "0.01", "--decays", "0", "--workers", "0"]) == 0
    result = json.loads(out.read_text())
    assert f"{100 * result['score']:.1f}" in capsys.readouterr().out
    assert result["settings"]["images"] == {"training": 12, "validation": 3, "test": 15}


def test_logits_that_are_no_numbers_cost_only_their_rate(monkeypatch) -> None:
    def broken(model, images, recipe, original=fine_tuning.predict):
        logits = original(model, images, recipe)
        return logits * torch.nan if model.linear.weight.abs().max() > 1 else logits

    monkeypatch.setattr(fine_tuning, "predict", broken)
    result = evaluate_fine_tuning(Tiny(), splits(), "top-1", RECIPE, [0.01, 300.0], [0.0])
    assert list(result["val"]) == ["0.01, 0"] and result["fit"]["rate"] == 0.01


def test_long_trainings_say_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dense_cl.evaluation.classifier_training._SECONDS", 0)
    lines: list[str] = []
    evaluate_fine_tuning(Tiny(), splits(), "top-1", RECIPE, [0.01], [0.0], lines.append)
    steps = [line for line in lines if line.startswith("step ")]
    assert len(steps) == RECIPE.steps
    assert steps[-1].startswith(f"step {RECIPE.steps} of {RECIPE.steps}, 0 s left, loss ")


def test_a_rate_that_diverges_costs_only_itself() -> None:
    lines: list[str] = []
    rates = [1e30, 0.01]
    result = evaluate_fine_tuning(Tiny(), splits(), "top-1", RECIPE, rates, [0.0], lines.append)
    assert list(result["val"]) == ["0.01, 0"] and result["fit"]["rate"] == 0.01
    assert any("rate 1e+30, decay 0 diverged" in line for line in lines)
    with pytest.raises(DenseCLError, match="all 2 fine-tunings diverged; try smaller --rates"):
        evaluate_fine_tuning(Tiny(), splits(), "top-1", RECIPE, [1e30, 1e31], [0.0])


def test_a_killed_run_goes_on_with_the_next_setting(tmp_path: Path, monkeypatch) -> None:
    torch.manual_seed(0)
    trained: list[float] = []
    monkeypatch.setattr(
        fine_tuning, "fine_tune", lambda *given: trained.append(given[4]) or fine_tune(*given)
    )
    rates, module = [1e30, 0.1, 0.01], Tiny()

    def killed(line: str) -> None:
        if line.startswith("rate 0.01"):
            raise KeyboardInterrupt

    def run(recipe: Recipe = RECIPE, progress=lambda line: None, cache=tmp_path):
        trained.clear()
        data = splits()
        return evaluate_fine_tuning(module, data, "top-1", recipe, rates, [0], progress, cache)

    with pytest.raises(KeyboardInterrupt):
        run(progress=killed)
    result = run()
    assert trained == [0.01, result["fit"]["rate"]]
    assert result == run(cache=None)
    assert run() == result and trained == [result["fit"]["rate"]]
    run(dataclasses.replace(RECIPE, steps=11))
    assert trained[:3] == rates


def test_an_image_that_cannot_be_read_stops_before_training(monkeypatch) -> None:
    broken = splits()

    class Broken(ArraySource):
        def load(self, index: int) -> np.ndarray:
            raise UnreadableImageError("x.png", "empty file")

    source = Broken(np.zeros((len(broken.test), 8, 8, 3), np.uint8), "broken")
    test = dataclasses.replace(broken.test, source=source)
    monkeypatch.setattr(fine_tuning, "fine_tune", lambda *_: pytest.fail("training began"))
    with pytest.raises(UnreadableImageError, match=r"x\.png"):
        evaluate_fine_tuning(Tiny(), dataclasses.replace(broken, test=test), "top-1", RECIPE)
