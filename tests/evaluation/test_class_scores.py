"""Scores of classifiers against reference vectors, scikit-learn and counts by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from dense_cl.evaluation.class_scores import (
    average_precision_11,
    mean_average_precision_11,
    mean_per_class,
    resampled_average_precision_11,
    top_1,
)


@pytest.mark.parametrize("case", [1, 2])
def test_golden(golden, case):
    data = golden(f"voc11pt_map_{case}")
    labels, scores = torch.tensor(data["labels"]), torch.tensor(data["scores"])
    found = [average_precision_11(s, y) for s, y in zip(scores.T, labels.T, strict=True)]
    np.testing.assert_allclose(found, data["expected_ap_per_class"], rtol=1e-8)
    mean = 100 * mean_average_precision_11(scores, labels)
    assert mean == pytest.approx(float(data["expected_map_percent"]), rel=1e-8)


# Few different values, so that ties are common.
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=30))
def test_average_precision_is_that_of_scikit_learns_curve(pairs):
    scores, positive = (torch.tensor(column) for column in zip(*pairs, strict=True))
    found = average_precision_11(scores.double(), positive)
    if not positive.any():
        assert math.isnan(found)
        return
    precision, recall, _ = precision_recall_curve(positive.numpy(), scores.numpy())
    expected = [precision[recall >= level].max() for level in np.linspace(0, 1, 11)]
    assert found == pytest.approx(np.mean(expected))


@given(st.permutations(range(8)))
def test_average_precision_depends_on_the_ranking_alone(order):
    scores = torch.tensor([3.0, 1.0, 1.0, 0.5, 0.2, 0.1, 0.1, -4.0])
    positive = torch.tensor([1, 0, 1, 1, 0, 1, 0, 0])
    expected = average_precision_11(scores, positive)
    shuffled = torch.tensor(order)
    assert average_precision_11(scores.exp()[shuffled], positive[shuffled]) == expected


def test_average_precision_by_hand():
    # Ranked hit, miss, hit: precision 1 up to recall 1/2, then 2/3: 6 levels and 5.
    value = average_precision_11(torch.tensor([3.0, 2.0, 1.0]), torch.tensor([1, 0, 1]))
    assert value == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)
    # The worst ranking still has precision 1 at recall 0, as scikit-learn's curve has.
    worst = average_precision_11(torch.tensor([2.0, 1.0]), torch.tensor([0, 1]))
    assert worst == pytest.approx((1 + 10 * 1 / 2) / 11)


def test_classes_without_a_positive_image_are_left_out_of_the_mean():
    scores, labels = torch.rand(6, 2), torch.tensor([[1, 0]] * 3 + [[0, 0]] * 3)
    alone = average_precision_11(scores[:, 0], labels[:, 0])
    assert mean_average_precision_11(scores, labels) == pytest.approx(alone)


def test_mean_per_class_weighs_small_classes_alike():
    labels = torch.tensor([0, 0, 0, 1])
    logits = torch.tensor([[1.0, 0, 0]] * 4)
    assert top_1(logits, labels) == 3 / 4
    assert mean_per_class(logits, labels) == 1 / 2  # class 2 has no image


def test_average_precision_of_samples_is_that_of_the_images_repeated():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 6, (40, 5), generator=generator).double()  # with many equal ones
    positive = torch.rand(40, 5, generator=generator) < 0.2
    positive[:, 4] = False  # a class that no image has
    positive[1:, 3] = False  # and one that samples may lack
    weights = torch.cat([torch.ones(1, 40), torch.randint(0, 3, (9, 40), generator=generator)])
    weights[1, 0], weights[2] = 0, 0
    found = resampled_average_precision_11(
        scores.numpy(), positive.numpy(), weights.double().numpy()
    )
    for row, value in zip(weights.long(), found, strict=True):
        rows = torch.arange(40).repeat_interleave(row)
        expected = mean_average_precision_11(scores[rows], positive[rows].long())
        assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert np.isnan(found[2]) and not np.isnan(found[0])
