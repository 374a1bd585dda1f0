"""Collapse diagnostics: the published definition and closed forms."""

import math

import pytest
import torch

from dense_cl.diagnostics.collapse import (
    chance_level,
    collapsed_feature_std,
    collapsed_rank,
    effective_rank,
    feature_std,
)


@pytest.mark.parametrize("case", [1, 2])
def test_effective_rank_golden(golden, case):
    data = golden(f"rankme_lidar_alphareq_{case}")
    mine = effective_rank(torch.tensor(data["representations"])).item()
    assert mine == pytest.approx(float(data["expected_rankme_uncentred"]), rel=1e-8)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_effective_rank_counts_equal_directions(rank):
    features = torch.eye(8, dtype=torch.float64)[:rank].repeat(4, 1)
    assert effective_rank(features).item() == pytest.approx(rank, rel=1e-4)


def test_feature_std_of_one_direction_is_zero_whatever_the_lengths():
    lengths = torch.tensor([[1.0], [2.0], [30.0]])
    assert feature_std(lengths * torch.tensor([[1.0, -2.0, 2.0]])).item() == pytest.approx(
        0, abs=1e-7
    )


def test_feature_std_of_spread_directions():
    channels = 64
    torch.manual_seed(0)
    spread = feature_std(torch.randn(4000, channels)).item()
    assert spread == pytest.approx(1 / math.sqrt(channels), rel=0.01)
    assert collapsed_feature_std(channels) == pytest.approx(0.1 * spread, rel=0.01)


def test_one_image_is_not_nan():
    assert feature_std(torch.ones(1, 4)) == 0
    assert effective_rank(torch.ones(1, 4)).item() == pytest.approx(1, rel=1e-5)


def test_rank_of_features_that_are_not_finite_is_nan():
    """The loss will say what is wrong, with the iteration; LAPACK would raise before that."""
    assert effective_rank(torch.tensor([[1.0, math.nan], [0.0, 1.0]])).isnan()


def test_half_precision_features():
    features = torch.randn(16, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    torch.testing.assert_close(effective_rank(features), effective_rank(features.float()))


def test_chance_level():
    assert chance_level(1) == pytest.approx(math.log(2))


def test_collapsed_rank_follows_the_batch_and_the_width():
    assert collapsed_rank(256, 2048) == collapsed_rank(2048, 256) == 3.2
    assert collapsed_rank(32, 512) == 2


def test_features_that_are_all_zero_have_a_rank():
    assert effective_rank(torch.zeros(6, 4)).item() == pytest.approx(1, rel=1e-4)
