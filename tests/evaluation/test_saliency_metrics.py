"""Saliency metrics against PySODMetrics' numbers, and where the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.evaluation.saliency_metrics import (
    adaptive_f,
    f_curve,
    mean_absolute_error,
    rescaled,
    saliency_scores,
    structure_measure,
)


@pytest.mark.parametrize("case", [1, 2])
def test_reference_values(golden, case):
    data = golden(f"saliency_metrics_{case}")
    pairs = [
        (prediction / 255.0, truth > 128)
        for prediction, truth in zip(
            data["predictions_uint8"], data["groundtruth_uint8"], strict=True
        )
    ]
    beta = float(data["beta_squared"])
    curve = np.mean([f_curve(rescaled(p), t, beta) for p, t in pairs], axis=0)
    np.testing.assert_allclose(curve, data["expected_f_curve_threshold_255_to_0"], rtol=1e-8)
    errors = [mean_absolute_error(rescaled(p), t) for p, t in pairs]
    np.testing.assert_allclose(errors, data["expected_per_image_mae"], rtol=1e-8)
    scores = saliency_scores(pairs, beta)
    for name in ("max_f", "mean_f", "adaptive_f", "mae", "s_measure"):
        np.testing.assert_allclose(scores[name], data[f"expected_{name}"], rtol=1e-8, err_msg=name)


def mask(height=20, width=30) -> np.ndarray:
    truth = np.zeros((height, width), bool)
    truth[4:12, 6:21] = True
    return truth


def test_a_perfect_map_and_its_opposite():
    truth = mask()
    perfect = saliency_scores([(truth.astype(float), truth)])
    assert perfect == pytest.approx(
        dict(max_f=1, mean_f=(255 + 1.3 * 0.2 / (0.3 * 0.2 + 1)) / 256, adaptive_f=1, mae=0,
             s_measure=1)
    )  # fmt: skip
    opposite = saliency_scores([(1.0 - truth, truth)])
    assert opposite["mae"] == 1 and opposite["adaptive_f"] == 0 and opposite["s_measure"] == 0
    # All that is left is the threshold that takes everything.
    share = truth.mean()
    assert opposite["max_f"] == pytest.approx(1.3 * share / (0.3 * share + 1))


def test_the_maximum_is_of_the_mean_curve():
    truth = mask()
    low, high = np.where(truth, 0.3, 0.0), np.where(truth, 1.0, 0.6)
    low[0, 0] = high[0, 0] = 1.0  # nothing to stretch
    high[0, 1] = 0.0
    curves = [f_curve(p, truth) for p in (low, high)]
    scores = saliency_scores([(low, truth), (high, truth)])
    assert scores["max_f"] == pytest.approx(np.mean(curves, axis=0).max())
    assert scores["max_f"] < np.mean([curve.max() for curve in curves]) - 0.1


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.98))
def test_a_curve_is_what_thresholds_one_by_one_give(seed, share):
    rng = np.random.default_rng(seed)
    prediction, truth = rng.random((7, 9)), rng.random((7, 9)) < share
    curve = f_curve(prediction, truth)
    for place, level in enumerate(range(255, -1, -1)):
        salient = np.floor(prediction * 255) >= level
        hits = (salient & truth).sum()
        if hits == 0:
            assert curve[place] == 0
            continue
        precision, recall = hits / salient.sum(), hits / truth.sum()
        assert curve[place] == pytest.approx(1.3 * precision * recall / (0.3 * precision + recall))


@pytest.mark.parametrize("value", [False, True])
def test_an_empty_or_full_truth_asks_for_the_mean(value):
    truth = np.full((5, 6), value)
    prediction = np.linspace(0, 1, 30).reshape(5, 6) ** 2
    wanted = prediction.mean() if value else 1 - prediction.mean()
    assert structure_measure(prediction, truth) == pytest.approx(wanted)
    assert np.isfinite([adaptive_f(prediction, truth), *f_curve(prediction, truth)]).all()


@pytest.mark.parametrize("place", [(0, 0), (4, 5), (0, 5), (2, 3)])
def test_an_object_of_one_pixel_has_a_structure(place):
    truth = np.zeros((5, 6), bool)
    truth[place] = True
    assert structure_measure(truth.astype(float), truth) == pytest.approx(1)
    assert 0 <= structure_measure(np.full((5, 6), 0.5), truth) < 1


def test_a_part_of_one_pixel_is_alike_as_in_the_authors_code():
    """The object is the last pixel but one of both axes, so that one part has one pixel."""
    truth = np.zeros((10, 10), bool)
    truth[8, 8] = True
    grey = np.full((10, 10), 0.3)
    # Object: 2 * 0.3 / (0.3^2 + 1); ground: 2 * 0.7 / (0.7^2 + 1). Of the four parts that of 81
    # pixels has a covariance of 0, two of 9 have truths without an object, one is alike.
    wholes = 0.01 * 0.6 / 1.09 + 0.99 * 1.4 / 1.49
    parts = {81: 0.0, 18: 1.0, 1: 1.0}
    quarters = sum(size * value for size, value in parts.items()) / 100
    assert structure_measure(grey, truth) == pytest.approx(0.5 * wholes + 0.5 * quarters)
