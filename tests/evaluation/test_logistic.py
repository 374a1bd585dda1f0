"""Logistic regression against the authors' results, scikit-learn and closed forms."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.class_scores import mean_per_class, top_1
from dense_cl.evaluation.logistic import fit_path, fit_vectors, l2_grid


def tensors(vectors):
    return {name: torch.tensor(value) for name, value in vectors.items()}


@pytest.mark.parametrize("case", [1, 2])
def test_golden_path_and_choice(golden, case):
    data = tensors(golden(f"ericsson_logreg_{case}"))
    grid = l2_grid(int(data["num_wd_values"]))
    np.testing.assert_allclose([1 / l2 for l2 in grid], data["expected_C_grid"], rtol=1e-5)
    classes = int(data["train_labels"].max()) + 1
    train = data["train_features"], data["train_labels"], classes
    score = mean_per_class if data["metric_is_mean_per_class"] else top_1
    scores = {
        fit.l2: 100 * score(fit.logits(data["val_features"]), data["val_labels"])
        for fit in fit_path(*train, grid, max_iterations=1000, tolerance=1e-7)
    }
    reliable = [l2 for l2 in grid if 1 / l2 <= 100]  # the README: beyond, the solver decides
    expected = dict(zip(grid, data["expected_val_score_per_C"].tolist(), strict=True))
    assert [scores[l2] for l2 in reliable] == pytest.approx([expected[l2] for l2 in reliable])
    best = max(grid, key=lambda l2: scores[l2])  # the first of several
    assert 1 / best == pytest.approx(float(data["expected_best_C"]), rel=1e-5)
    both = [torch.cat([data[f"train_{x}"], data[f"val_{x}"]]) for x in ("features", "labels")]
    (fit,) = fit_path(*both, classes, [best], 1000, 1e-8)
    result = 100 * score(fit.logits(data["test_features"]), data["test_labels"])
    assert result == pytest.approx(float(data["expected_test_score_refit_trainval"]))


@pytest.mark.parametrize("case", [1, 2])
@pytest.mark.parametrize("check", [0, 1, 2])
def test_golden_coefficients(golden, case, check):
    data = tensors(golden(f"ericsson_logreg_{case}"))
    classes = int(data["train_labels"].max()) + 1
    penalty = 1 / float(data[f"check_C{check}"])
    (fit,) = fit_path(data["train_features"], data["train_labels"], classes, [penalty], 1000, 1e-8)
    assert fit.converged
    expected = data[f"expected_coef_C{check}"]
    torch.testing.assert_close(
        fit.weights[0], expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item()
    )
    decision = data[f"expected_val_decision_C{check}"]
    torch.testing.assert_close(fit.logits(data["val_features"]), decision, rtol=1e-3, atol=1e-3)


def test_weak_penalties_reach_the_minimum_where_classes_can_be_separated():
    """There loss and gradient vanish long before the weights have grown; also in float32."""
    generator = torch.Generator().manual_seed(0)
    count, width, classes = 150, 200, 5
    scales = torch.logspace(-2, 0, width)
    features, test = (
        torch.randn(n, width, generator=generator).abs() * scales for n in (count, 2000)
    )
    labels = torch.randint(0, classes, (count,), generator=generator)
    features[torch.arange(count), labels] += 0.3
    grid = l2_grid(12)
    exact = features.double().numpy(), labels.numpy()
    for fit in fit_path(features, labels, classes, grid):
        if fit.l2 > 1e-2:
            continue
        assert fit.converged
        theirs = LogisticRegression(C=1 / fit.l2, tol=1e-10, max_iter=5000, solver="newton-cg")
        theirs.fit(*exact)
        expected = torch.tensor(theirs.coef_).float()
        difference = (fit.weights[0] - expected).norm() / expected.norm()
        assert difference < 0.01, fit.l2
        same = fit.logits(test).argmax(1) == torch.tensor(theirs.predict(test.double().numpy()))
        assert same.double().mean() > 0.99


def problem(dtype=torch.float64):
    """Correlated features of very different scales, far from the origin."""
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(6, 6, generator=generator, dtype=dtype) * torch.logspace(-2, 1, 6)
    features = torch.randn(90, 6, generator=generator, dtype=dtype) @ mixing + 5
    labels = (features[:, 0] * 3 + torch.randn(90, generator=generator)).argsort().argsort() // 30
    return features, labels


def test_agrees_with_scikit_learn():
    features, labels = problem()
    for fit in fit_path(features, labels, 3, [1e-2, 1.0, 1e2], 1000, 1e-9):
        # Its L-BFGS stops farther from the minimum, by 5e-3 at the weakest of these penalties.
        peer = LogisticRegression(C=1 / fit.l2, solver="newton-cg", tol=1e-10)
        peer.fit(features.numpy(), labels.numpy())
        torch.testing.assert_close(fit.weights[0], torch.tensor(peer.coef_), rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(
            fit.logits(features).argmax(1), peer.predict(features.numpy())
        )


def test_gradient_of_the_textbook_objective_vanishes():
    features, labels = problem()
    for fit in fit_path(features, labels, 3, [1e-3, 10.0], 1000, 1e-8):
        weight, bias = fit.weights[0].requires_grad_(), fit.bias.requires_grad_()
        loss = F.cross_entropy(features @ weight.T + bias, labels, reduction="sum")
        loss = loss + fit.l2 / 2 * weight.square().sum()
        loss.backward()
        assert fit.loss == pytest.approx(loss.item() / len(labels), rel=1e-9)
        assert weight.grad.abs().max() < 1e-3 and bias.grad.abs().max() < 1e-5


def test_several_labels_are_softmaxes_of_two_rows_each():
    features, labels = problem()
    targets = torch.stack([labels == 0, labels != 1], dim=1)
    (both,) = fit_path(features, targets, 2, [0.5], 1000, 1e-9)
    for column in range(2):
        (rows,) = fit_path(features, targets[:, column].long(), 2, [0.5], 1000, 1e-9)
        logit = rows.logits(features)[:, 1] - rows.logits(features)[:, 0]
        torch.testing.assert_close(both.logits(features)[:, column], logit, rtol=1e-5, atol=1e-5)


def test_overwhelming_penalty_leaves_the_log_frequencies():
    features, _ = problem()
    labels = (torch.arange(90) >= 60).long()
    (fit,) = fit_path(features, labels, 2, [1e12], 300, 1e-8)
    logits = fit.logits(features)
    torch.testing.assert_close(
        logits[:, 0] - logits[:, 1], torch.full((90,), math.log(2)).double(), rtol=1e-4, atol=1e-4
    )


def test_answers_do_not_depend_on_the_other_penalties_or_on_float32():
    features, labels = problem()
    (alone,) = fit_path(features, labels, 3, [0.1], 1000, 1e-9)
    *_, last = fit_path(features, labels, 3, [0.1, 1e3, 1.0], 1000, 1e-9)
    torch.testing.assert_close(alone.weights[0], last.weights[0], rtol=1e-5, atol=1e-6)
    # float32 leaves noise of some 1e-5 in the gradient of features of such different scales.
    (single,) = fit_path(features.float(), labels, 3, [0.1], tolerance=1e-4)
    assert single.converged and single.weights[0].dtype == torch.float32
    torch.testing.assert_close(
        single.logits(features.float()).softmax(1).double(),
        alone.logits(features).softmax(1),
        rtol=0,
        atol=1e-3,
    )


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-6), (torch.float32, 2e-3)])
def test_standardised_features_agree_with_scikit_learn(dtype, close):
    features, labels = problem()
    standard = (features - features.mean(0)) / features.std(0, correction=0)
    fits = fit_vectors(
        features.to(dtype), labels, 3, [1e-3, 0.1], standardise=True,
        tolerance=1e-9 if dtype == torch.float64 else 1e-4,
    )  # fmt: skip
    for fit in fits:
        # Theirs is the penalty of the sum, ours that of the mean.
        peer = LogisticRegression(C=1 / (90 * fit.l2), solver="newton-cg", tol=1e-10)
        peer.fit(standard.numpy(), labels.numpy())
        expected = torch.tensor(peer.predict_proba(standard.numpy()))
        found = fit.logits(features.to(dtype)).softmax(1).double()
        torch.testing.assert_close(found, expected, rtol=0, atol=close)


def test_what_is_no_number_has_not_converged():
    features = torch.randn(4, 2, generator=torch.Generator().manual_seed(6))
    one_class = torch.zeros(4, dtype=torch.long)  # the free intercept grows without end
    fits = [fit for fit in fit_path(features, one_class, 2, l2_grid()) if math.isnan(fit.loss)]
    assert fits and not any(fit.converged for fit in fits)


def test_wrong_input():
    features, labels = problem()
    with pytest.raises(DenseCLError, match="l2 0 must be positive"):
        next(fit_path(features, labels, 3, [1.0, 0.0]))
    with pytest.raises(DenseCLError, match="at least two classes"):
        next(fit_path(features, labels * 0, 1, [1.0]))
