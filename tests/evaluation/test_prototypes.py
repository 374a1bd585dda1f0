"""Prototypical episodes against the authors' results, a loop, and the binomial interval."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dense_cl.errors import DenseCLError
from dense_cl.evaluation import prototypes
from dense_cl.evaluation.prototypes import (
    episode_hits,
    mean_and_interval,
    sample_episodes,
    squared_distances,
)


@pytest.mark.parametrize("case", [1, 2])
def test_golden(golden, case):
    data = golden(f"prototypical_fewshot_{case}")
    support, query = torch.tensor(data["support"]), torch.tensor(data["query"])
    distances = squared_distances(support, query)
    np.testing.assert_allclose(distances, data["expected_squared_distances"], rtol=1e-8)
    np.testing.assert_array_equal(distances.argmin(-1), data["expected_predictions"])
    ways = torch.arange(support.shape[1])
    log_p = F.log_softmax(-distances, dim=-1)
    losses = -log_p[:, ways, :, ways].mean(dim=(0, 2))  # (W, E, Q)
    np.testing.assert_allclose(losses, data["expected_episode_loss"], rtol=1e-8)
    hits = distances.argmin(-1) == ways[:, None]
    accuracy = 100 * hits.double().mean(dim=(1, 2))
    scale = 100 if data["expected_episode_accuracy"].max() <= 1 else 1
    np.testing.assert_allclose(accuracy, scale * data["expected_episode_accuracy"], rtol=1e-8)
    mean, half = mean_and_interval(accuracy)
    assert mean == pytest.approx(float(data["expected_mean_accuracy_percent"]), rel=1e-8)
    assert half == pytest.approx(float(data["expected_ci95_percent"]), rel=1e-8)


def test_episodes_are_disjoint_and_of_the_right_classes():
    labels = torch.tensor([0] * 7 + [1] * 6 + [2] * 3 + [4] * 9)
    drawn = sample_episodes(labels, way=2, shot=2, query=4, episodes=50, seed=0)
    assert drawn.shape == (50, 2, 6)
    for episode in drawn:
        assert all(len(labels[images].unique()) == 1 for images in episode)
        assert len(set(labels[episode[:, 0]].tolist())) == 2
        assert episode.unique().numel() == episode.numel()
    assert set(labels[drawn].unique().tolist()) == {0, 1, 4}  # class 2 is too small
    assert torch.equal(drawn, sample_episodes(labels, 2, 2, 4, 50, seed=0))
    assert not torch.equal(drawn, sample_episodes(labels, 2, 2, 4, 50, seed=1))


def test_all_episodes_at_once_equal_a_loop(monkeypatch):
    monkeypatch.setattr(prototypes, "_CHUNK", 3)
    labels = torch.arange(40) % 4
    features = torch.randn(40, 5, dtype=torch.float64) + labels[:, None]
    drawn = sample_episodes(labels, 3, 2, 5, 7, seed=1)
    hits = episode_hits(features, drawn, shot=2)
    for e, w, q in np.ndindex(*hits.shape):
        centres = [features[images[:2]].mean(0) for images in drawn[e]]
        query = features[drawn[e, w, 2 + q]]
        nearest = min(range(3), key=lambda c: float((query - centres[c]).square().sum()))
        assert bool(hits[e, w, q]) == (nearest == w)


def test_features_far_from_the_origin_are_told_apart():
    support = torch.tensor([[[[1e4, 0.0]], [[1e4, 1e-2]]]])
    assert squared_distances(support, support).argmin(-1).tolist() == [[[0], [1]]]


def test_interval_of_a_coin_is_binomial():
    values = torch.tensor([0.0, 1.0]).repeat(300)
    mean, half = mean_and_interval(values)
    assert mean == 0.5 and half == pytest.approx(1.96 * math.sqrt(0.25 / 600))


def test_too_few_images_are_refused():
    with pytest.raises(DenseCLError, match="only 1 of 2 classes have so many"):
        sample_episodes(torch.tensor([0, 0, 0, 1]), 2, 1, 2, 5, seed=0)
