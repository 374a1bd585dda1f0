"""The bootstrap against scipy's, against a loop, and against what an interval promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from dense_cl.evaluation.bootstrap import bootstrap_interval


def test_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=80)
    ours = bootstrap_interval(values, resamples=20_000)
    theirs = bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    # Both are Monte Carlo: two draws of scipy itself differ by as much.
    np.testing.assert_allclose(ours, theirs, rtol=0.01)


def test_a_function_of_several_means_is_taken_of_each_draw() -> None:
    values = np.random.default_rng(2).random((30, 5))
    draws = np.random.default_rng(7).multinomial(30, np.full(30, 1 / 30), size=400)
    best = [np.repeat(values, draw, axis=0).mean(axis=0).max() for draw in draws]
    expected = np.quantile(best, [0.05, 0.95])
    found = bootstrap_interval(values, lambda m: m.max(axis=1), seed=7, resamples=400, level=0.9)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@settings(max_examples=50)
@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=30),
    st.floats(-3, 3),
    st.floats(0.1, 4),
    st.integers(0, 5),
)
def test_moves_and_stretches_with_the_values(
    values: list[float], shift: float, factor: float, seed: int
) -> None:
    array = np.array(values)
    low, high = bootstrap_interval(array, seed=seed, resamples=200)
    assert array.min() - 1e-9 <= low <= high <= array.max() + 1e-9
    moved = bootstrap_interval(factor * array + shift, seed=seed, resamples=200)
    np.testing.assert_allclose(moved, [factor * low + shift, factor * high + shift], atol=1e-9)


def test_the_same_images_are_drawn_for_every_score() -> None:
    first, second = np.random.default_rng(3).random((2, 50))
    apart = bootstrap_interval(first - second, seed=4)
    together = bootstrap_interval(
        np.stack([first, second], axis=1), lambda means: means[:, 0] - means[:, 1], seed=4
    )
    np.testing.assert_allclose(apart, together, rtol=1e-9)


def test_equal_values_leave_no_doubt() -> None:
    assert bootstrap_interval(np.ones(9)) == pytest.approx((1.0, 1.0))


def test_covers_the_true_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        low, high = bootstrap_interval(random.random(60) < 0.4, resamples=400, level=0.9)
        covered += low <= 0.4 <= high
    # Binomial deviation of 300 trials is 1.7 points; percentile intervals are a little narrow.
    assert 0.84 <= covered / 300 <= 0.96
