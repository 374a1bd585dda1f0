"""Verdicts: which numbers are suspicious, and that the sentence says so."""

import pytest
import torch
import torch.nn.functional as F

from dense_cl.diagnostics.examine import examine
from dense_cl.diagnostics.judge import judge, judge_hardness
from dense_cl.diagnostics.measure import label_measures, view_measures
from dense_cl.diagnostics.sweep import temperature_sweep


def suspicious(measures: dict, images: int = 200, channels: int = 64) -> set[str]:
    return {j.measure for j in judge(measures, images, channels) if j.verdict == "suspicious"}


def views_of(means: torch.Tensor, noise: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return means[:, None] + noise * torch.randn(len(means), 2, means.shape[1], generator=generator)


def test_spread_features_are_healthy_and_collapsed_ones_are_not() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.randn(200, 64, generator=generator)
    assert suspicious(view_measures(views_of(spread, 0.3))) == set()
    one_way = torch.ones(200, 64) + 1e-3 * spread
    complete = suspicious(view_measures(views_of(one_way, 1e-4)))
    assert complete == {"feature std", "RankMe", "uniformity"}
    line = torch.randn(200, 1, generator=generator) * torch.ones(1, 64)
    assert "RankMe" in suspicious(view_measures(views_of(line, 1e-3)))
    assert "alignment" in suspicious(view_measures(views_of(0.01 * spread, 1.0)))


def test_labels() -> None:
    labels = torch.arange(200) % 4
    classes = F.one_hot(labels, 64).float()
    assert suspicious(label_measures(classes + 0.1 * torch.randn(200, 64), labels)) == set()
    chance = label_measures(
        torch.randn(200, 64, generator=torch.Generator().manual_seed(4)), labels
    )
    assert "kNN accuracy" in suspicious(chance)
    opposite = torch.cat([torch.eye(2), -torch.eye(2)]).repeat(50, 1)
    assert "tolerance" in suspicious(label_measures(opposite, torch.tensor([0, 1] * 100)))


def test_similarity_is_the_mean_over_pairs_of_different_classes() -> None:
    features, labels = torch.randn(12, 5), torch.arange(12) % 3
    unit = F.normalize(features, dim=1)
    other = labels[:, None] != labels[None]
    expected = (unit @ unit.T)[other].mean().item()
    assert label_measures(features, labels)["similarity"] == pytest.approx(expected, abs=1e-6)
    assert "similarity" not in label_measures(features, torch.zeros(12, dtype=torch.int64))


def test_distance_is_the_mean_over_different_images() -> None:
    views = torch.randn(9, 2, 5)
    first, second = F.normalize(views, dim=2).unbind(1)
    squared = torch.cdist(first, second).square()
    expected = squared[~torch.eye(9, dtype=torch.bool)].mean().item()
    assert view_measures(views)["distance"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("share", "healthy", "says"),
    [(0.05, False, "T is high"), (0.4, True, "evenly"), (0.95, False, "T is low")],
)
def test_hardness(share: float, healthy: bool, says: str) -> None:
    judged = judge_hardness(share, hardest=10, negatives=200, temperature=0.2)
    assert judged.healthy is healthy and says in judged.sentence
    assert judged.measure == "hardest 10 at T=0.2"


@pytest.mark.parametrize(("images", "judged"), [(20, 0), (40, 1)])
def test_the_hardest_of_few_negatives_say_nothing(images: int, judged: int) -> None:
    views = torch.randn(images, 2, 16, generator=torch.Generator().manual_seed(0))
    found = examine(views, temperature=0.2, labelled_MQD=None, labels_M=None)["judgements"]
    assert sum(j["measure"] == "hardest 10 at T=0.2" for j in found) == judged


def test_a_low_temperature_is_more_uniform_and_less_tolerant() -> None:
    """The dilemma of Wang and Liu, on features with classes, images and views."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(160).sort().values // 16
    classes = torch.randn(10, 48, generator=generator)[labels]
    views = views_of(classes + 0.7 * torch.randn(160, 48, generator=generator), 0.3)
    sweep = temperature_sweep(*views.unbind(1), labels, temperatures=(0.1, 0.3, 1.0))
    assert sweep["uniformity"] == sorted(sweep["uniformity"])
    assert sweep["tolerance"] == sorted(sweep["tolerance"])
    again = temperature_sweep(*views.unbind(1), labels, temperatures=(0.1, 0.3, 1.0))
    assert again == sweep
