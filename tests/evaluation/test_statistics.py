"""Estimates against scipy and closed forms, and simulated comparisons whose answer is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.confusion import segmentation_scores
from dense_cl.evaluation.statistics import Estimate, Runs, difference, holm, summary, verdict
from dense_cl.evaluation.statistics.estimate import Part


def of_scores(*scores: float, seeds: tuple[int, ...] = ()) -> Runs:
    return Runs(seeds or tuple(range(len(scores))), np.array(scores))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_nothing_and_bonferroni(p_values):
    adjusted = holm(p_values)
    for before, after in zip(p_values, adjusted, strict=True):
        assert before <= after <= min(1.0, len(p_values) * before)
    # The order of the p-values is kept.
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_seeds_alone_are_the_paired_t_test():
    first, second = of_scores(0.71, 0.74, 0.69), of_scores(0.70, 0.71, 0.68)
    found = difference(first, second)
    expected = stats.ttest_rel(first.scores_S, second.scores_S)
    assert found.paired and found.images == 0
    assert found.estimate.p_value() == pytest.approx(expected.pvalue, rel=1e-8)
    limits = expected.confidence_interval(0.95)
    assert found.estimate.interval() == pytest.approx((limits.low, limits.high), rel=1e-8)


def test_pairs_are_found_by_seed_and_not_by_place():
    first = Runs((0, 1, 2), np.array([0.5, 0.6, 0.7]))
    second = Runs((2, 0, 1), np.array([0.69, 0.49, 0.57]))
    estimate = difference(first, second).estimate
    expected = stats.ttest_rel([0.5, 0.6, 0.7], [0.49, 0.57, 0.69])
    assert estimate.p_value() == pytest.approx(expected.pvalue, rel=1e-8)
    # The order of runs does not show in rounding either.
    same = Runs((2, 0, 1), np.array([0.7, 0.5, 0.6]))
    assert difference(first, same).estimate.value == 0


def test_other_seeds_are_independent_samples():
    first = of_scores(0.71, 0.74, 0.69)
    second = of_scores(0.70, 0.71, seeds=(7, 8))
    found = difference(first, second)
    assert not found.paired
    error = math.sqrt(first.scores_S.var(ddof=1) / 3 + second.scores_S.var(ddof=1) / 2)
    assert found.estimate.standard_error == pytest.approx(error)


@given(
    value=st.floats(-5, 5).filter(lambda v: abs(v) > 1e-3),
    variances=st.lists(st.floats(1e-3, 10), min_size=1, max_size=3),
    df=st.sampled_from([1, 2, 4, 199]),
)
def test_the_p_value_is_where_the_interval_ends_at_zero(value, variances, df):
    parts = tuple(Part(variance, df * (1 + i)) for i, variance in enumerate(variances))
    estimate = Estimate(value, parts)
    assume(estimate.p_value() > 1e-145)  # smaller ones are not told apart
    low, high = estimate.interval(estimate.p_value())
    assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-6 * (1 + abs(value)))
    # It lies between those of a test with all parts known so badly, or so well, as one of them.
    ratio = abs(value) / estimate.standard_error
    bounds = [2 * stats.t.sf(ratio, part.df) for part in parts]
    assert min(bounds) * (1 - 1e-6) <= estimate.p_value() <= max(bounds) * (1 + 1e-6)


@pytest.mark.parametrize("df", [1, 2, 4, 30, 5000])
def test_detectable_is_found_with_the_power_asked_for(df):
    error = 0.3
    shift = Estimate(0.0, (Part(error**2, df),)).detectable(alpha=0.05, power=0.8) / error
    critical = stats.t.isf(0.025, df)
    rng = np.random.default_rng(0)
    drawn = (rng.standard_normal(100_000) + shift) / np.sqrt(rng.chisquare(df, 100_000) / df)
    assert np.mean(drawn > critical) == pytest.approx(0.8, abs=0.006)


def test_nothing_known_is_no_evidence():
    found = difference(of_scores(0.9), of_scores(0.1))
    assert found.estimate.p_value() == 1
    assert found.estimate.interval() == (-math.inf, math.inf)
    assert found.estimate.detectable() == math.inf
    assert verdict("A", "B", found).startswith("cannot be told")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (of_scores(0.50, 0.50), of_scores(0.51, 0.51)),
        (of_scores(0.51, 0.61, 0.71), of_scores(0.50, 0.60, 0.70)),  # but for rounding
        (of_scores(0.50, 0.50), of_scores(0.51)),
        (of_scores(0.50, 0.50), of_scores(0.51, 0.51, seeds=(7, 8))),
    ],
)
def test_seeds_without_spread_are_no_certainty(first, second):
    found = difference(first, second)
    assert found.estimate.p_value() == 1 and not found.seeds_vary
    assert found.estimate.interval() == (-math.inf, math.inf)
    text = verdict("A", "B", found)
    assert text.startswith("cannot be told whether A and B differ (")
    assert "the spread between seeds cannot be estimated" in text
    itself = verdict("A", "copy", difference(first, first))
    assert itself.startswith("no difference shown between A and copy: their results are the same")
    assert summary(of_scores(0.50, 0.50)).interval() == (-math.inf, math.inf)


def test_seeds_without_spread_leave_the_images():
    values = np.random.default_rng(0).normal(size=(2, 50))
    values -= values.mean(axis=1, keepdims=True)
    twice = Runs.of_values((0, 1), np.repeat(values[:1] + 0.9, 2, axis=0))
    others = Runs.of_values((0, 1), np.repeat(values[1:], 2, axis=0))
    found = difference(twice, others)
    assert [part.df for part in found.estimate.parts] == [49]
    text = verdict("A", "B", found)
    assert text.startswith("A above B by 0.9")
    assert text.endswith("all seeds show the same: their spread cannot be estimated")


def confusions_of(*rows):
    """Return (1, N, 3, 2) counts of photos' confusions; none means that the photo is all void."""
    matrices = [[[0, 0], [0, 0]] if row is None else [row, [0, 10]] for row in rows]
    return counted(np.array([matrices]))


def counted(matrices):
    """Return hits, pixels and predicted pixels of each class, (..., 3, K), of (..., K, K)."""
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    return np.stack([hits, matrices.sum(axis=-1), matrices.sum(axis=-2)], axis=-2)


def test_photos_without_labels_are_no_certainty():
    """Of three photos, two void, a resample has no score, or that of the third."""
    void = (None, None)
    first = Runs.of_confusions((0,), confusions_of((9, 1), *void), "mean_iou")
    second = Runs.of_confusions((0,), confusions_of((5, 5), *void), "mean_iou")
    assert np.isnan(first.resampled(1000, 0)).any()
    found = difference(first, second)
    assert found.images == 3 and not found.images_vary
    assert found.estimate.p_value() == 1 and summary(first).parts == ()
    text = verdict("A", "B", found)
    assert text.startswith("cannot be told whether A and B differ (+0.3")
    assert text.endswith("that between 3 images cannot be estimated (those measured show none)")


def test_draws_without_a_score_do_not_count():
    void = (None,) * 4
    first = Runs.of_confusions((0,), confusions_of((9, 1), (6, 4), *void), "mean_iou")
    second = Runs.of_confusions((0,), confusions_of((5, 5), (5, 5), *void), "mean_iou")
    drawn = (first.resampled(1000, 0) - second.resampled(1000, 0))[:, 0]
    assert 50 < np.isnan(drawn).sum() < 150  # (4 / 6) ** 6 of them
    (part,) = difference(first, second).estimate.parts
    # Of six images: draws vary by 5 / 6 of what six new images would bring.
    assert part.variance == pytest.approx(1.2 * np.nanvar(drawn, ddof=1)) and part.variance > 1e-4
    assert summary(first).standard_error == pytest.approx(
        np.sqrt(1.2) * np.nanstd(first.resampled(1000, 0), ddof=1)
    )


@pytest.mark.parametrize("images", [3, 10, 50])
def test_equal_methods_are_told_apart_no_oftener_than_the_level(images):
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(1000):
        first, second = (Runs.of_values((0,), rng.normal(size=(1, images))) for _ in range(2))
        low, high = difference(first, second, resamples=200).estimate.interval()
        alarms += low > 0 or high < 0
    assert 20 <= alarms <= 64  # 5 %, two standard deviations above it


@pytest.mark.parametrize("variance", [0.0, math.nan, -1.0])
def test_a_part_has_a_variance(variance):
    with pytest.raises(DenseCLError, match="says nothing about an error"):
        Part(variance, 2)


def test_images_are_drawn_once_for_all_runs():
    """Against the loop: seeds known exactly, images drawn the same for every run of both sides."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 3, 40)) + rng.normal(size=(2, 1, 40))
    seeds = (0, 1, 2)
    found = difference(*(Runs.of_values(seeds, side) for side in values), resamples=40_000)
    per_seed, per_image = (values[0] - values[1]).mean(axis=1), (values[0] - values[1]).mean(axis=0)
    seed_part, image_part = found.estimate.parts
    assert seed_part.variance == pytest.approx(per_seed.var(ddof=1) / 3) and seed_part.df == 2
    # That of a mean over N other images, with the divisor N - 1; the draws vary by 0.7 %.
    assert image_part.variance == pytest.approx(per_image.var(ddof=1) / 40, rel=0.02)
    assert image_part.df == 39
    loop = [
        per_seed_drawn.mean()
        for _ in range(4000)
        for drawn in [rng.integers(40, size=40)]
        for per_seed_drawn in [(values[0] - values[1])[:, drawn].mean(axis=1)]
    ]
    assert image_part.variance == pytest.approx(np.var(loop), rel=0.12)


def test_mean_iou_is_of_summed_confusions():
    counts = np.random.default_rng(0).integers(0, 9, size=(2, 6, 3, 3))
    runs = Runs.of_confusions((0, 1), counted(counts), "mean_iou")
    for score, confusions in zip(runs.scores_S, counts, strict=True):
        expected = segmentation_scores(torch.from_numpy(confusions.sum(axis=0))).mean_iou
        assert score == pytest.approx(expected, rel=1e-12)
    alike = counted(np.repeat(counts[:, :1], 6, axis=1))  # all images are the same
    assert Runs.of_confusions((0, 1), alike, "mean_iou").resampled(5, 0) == pytest.approx(
        np.tile(Runs.of_confusions((0, 1), alike, "mean_iou").scores_S, (5, 1))
    )


def test_resampling_is_paired_and_repeatable():
    values = np.random.default_rng(0).normal(size=(1, 200))
    first, second = Runs.of_values((0,), values), Runs.of_values((0,), values + 0.25)
    # More draws than fit into a chunk; the copies differ by the shift in each of them.
    np.testing.assert_allclose(second.resampled(150, 3) - first.resampled(150, 3), 0.25)
    np.testing.assert_array_equal(first.resampled(150, 3), first.resampled(150, 3))
    assert not np.array_equal(first.resampled(150, 3), first.resampled(150, 4))


def test_summary_of_one_run_is_of_its_images():
    values = np.random.default_rng(0).normal(size=(1, 400))
    estimate = summary(Runs.of_values((0,), values))
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.standard_error == pytest.approx(values.std() / 20, rel=0.1)
    assert [part.df for part in estimate.parts] == [399]


def simulated(rng, seeds: int, images: int, of_seed: float, planted: float = 0.0):
    numbers = tuple(range(seeds))
    common = rng.normal(0, 0.3, images)
    for shift in (planted, 0.0):
        own = rng.normal(0, 0.1, images) + rng.normal(0, of_seed, (seeds, 1))
        yield Runs.of_values(numbers, common + own + rng.normal(0, 0.1, (seeds, images)) + shift)


@pytest.mark.parametrize(("seeds", "of_seed"), [(2, 0.03), (3, 0.03), (3, 0.0)])
def test_equal_methods_are_seldom_told_apart(seeds, of_seed):
    rng = np.random.default_rng(0)
    shown = [
        difference(*simulated(rng, seeds, 50, of_seed), resamples=100).estimate.p_value() < 0.05
        for _ in range(100)
    ]
    assert sum(shown) <= 5


@pytest.mark.parametrize("ratio", [0.3, 3, 30])
@pytest.mark.parametrize("seeds", [2, 3])
def test_the_level_is_kept_at_any_ratio_of_seeds_to_images(seeds, ratio):
    """Satterthwaite's degrees of freedom would give 12 % at two seeds and a ratio of 10."""
    rng, draws, images = np.random.default_rng(0), 3000, 200
    scores = rng.normal(0, math.sqrt(ratio * seeds), (draws, seeds))
    scores += rng.normal(0, 1, (draws, 1))  # what the images bring, alike for all seeds
    of_seeds = scores.var(axis=1, ddof=1) / seeds
    of_images = rng.chisquare(images - 1, draws) / (images - 1)
    alarms = 0
    for mean, seed_part, image_part in zip(scores.mean(axis=1), of_seeds, of_images, strict=True):
        parts = (Part(seed_part, seeds - 1), Part(image_part, images - 1))
        low, high = Estimate(mean, parts).interval()
        alarms += low > 0 or high < 0
    assert alarms / draws < 0.058  # two standard deviations above 5 %


def test_a_checkpoint_does_not_differ_from_its_copy():
    rng = np.random.default_rng(0)
    right = rng.random((1, 300)) < 0.6
    for _ in range(100):
        drawn = Runs.of_values((0,), right[:, rng.integers(300, size=300)])
        found = difference(drawn, drawn, resamples=20)
        assert verdict("A", "copy", found).startswith(
            "no difference shown between A and copy: their"
        )


def test_a_checkpoint_hardly_differs_from_its_copy_on_other_images():
    rng = np.random.default_rng(0)
    shown = 0
    for _ in range(100):
        here, there = (Runs.of_values((0,), rng.random((1, 300)) < 0.6) for _ in range(2))
        low, high = difference(here, there, resamples=100).estimate.interval()
        shown += low > 0 or high < 0
    assert 1 <= shown <= 9  # of 100 at a level of 5 %: 10 or more with a probability of 3 %


@pytest.mark.parametrize(("seeds", "of_seed"), [(1, 0.0), (3, 0.03), (5, 0.03)])
def test_twice_the_minimum_detectable_difference_is_found(seeds, of_seed):
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(100):
        pilot = difference(*simulated(rng, seeds, 50, of_seed), resamples=100)
        planted = 2 * pilot.estimate.detectable()
        again = difference(*simulated(rng, seeds, 50, of_seed, planted), resamples=100)
        found += verdict("A", "B", again).startswith("A above B by")
    assert found >= 80


def test_what_verdicts_say():
    better, worse = of_scores(0.81, 0.82, 0.83), of_scores(0.60, 0.62, 0.61)
    text = verdict("ours", "control", difference(worse, better))
    assert text.startswith("control above ours by 0.21 (95% interval 0.1")
    assert text.endswith("no records by image: the images are taken as they are")
    corrected = verdict("ours", "control", difference(better, worse), p_value=0.06, detectable=0.4)
    assert corrected.endswith("not among all comparisons made")
    assert "no difference shown" in corrected and "one of 0.4 would be found in 80%" in corrected
    values = np.random.default_rng(0).normal(size=(1, 50))
    one = Runs.of_values((0,), values)
    assert "seed variation is unknown" in verdict("a", "b", difference(one, one))
    several = Runs.of_values((1, 2), np.concatenate([values, values + 0.1]))
    assert "one run of a: its seed" in verdict("a", "b", difference(one, several))


def test_wrong_input_is_named():
    with pytest.raises(DenseCLError, match="each seed once"):
        Runs((0, 0), np.array([0.1, 0.2]))
    with pytest.raises(DenseCLError, match="a run that failed"):
        Runs((0,), np.array([math.nan]))
    images = Runs.of_values((0,), np.zeros((1, 5))), Runs.of_values((0,), np.zeros((1, 6)))
    with pytest.raises(DenseCLError, match="on 5 images and the other on 6"):
        difference(*images)
    with pytest.raises(DenseCLError, match="no records by image"):
        of_scores(0.5).resampled(3, 0)
