"""The solver against closed forms, autograd at full resolution and another solver."""

import math

import pytest
import torch
from torch.nn import functional

from dense_cl.errors import DenseCLError
from dense_cl.evaluation import linear_probe
from dense_cl.evaluation.linear_probe import fit_maps, label_cells, pixel_logits


def fit_one(stages, labels, num_classes, l2, grid, tolerance=1e-4):
    (fit,) = fit_maps(stages, labels, num_classes, [l2], grid, tolerance=tolerance)
    return fit


def _problem(num_images=6, channels=5, classes=3, side=4, scale=4, seed=0):
    """Feature maps, and labels at ``scale`` times their resolution that they partly explain."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(num_images, channels, side, side, generator=generator) * 3 + 1
    # Correlated channels of very different scale, as real features are.
    mixing = torch.randn(channels, channels, generator=generator).cumsum(0)
    features = torch.einsum("dc,nchw->ndhw", mixing, features)
    truth = torch.randn(classes, channels, generator=generator) @ torch.linalg.inv(mixing)
    logits = torch.einsum("kc,nchw->nkhw", truth, features)
    noise = torch.randn(logits.shape, generator=generator)
    fine = functional.interpolate(logits + noise, scale_factor=scale, mode="bilinear")
    return features, fine.argmax(1)


def test_solves_the_stated_problem_at_full_resolution():
    """With cells of one pixel the gradient of the textbook objective vanishes at the answer."""
    features, labels = _problem()
    features = features.double()
    labels[:, :3] = -1
    l2 = 1e-2
    fit = fit_one([features], list(labels), 3, l2, (16, 16), tolerance=1e-8)
    assert fit.converged

    mean, std = features.mean((0, 2, 3)), features.std((0, 2, 3), correction=0)
    weight = (fit.weights[0] * std).requires_grad_()
    bias = (fit.bias + fit.weights[0] @ mean).requires_grad_()
    standard = (features - mean[:, None, None]) / std[:, None, None]
    fine = functional.interpolate(standard, scale_factor=4, mode="bilinear")
    logits = torch.einsum("kc,nchw->nkhw", weight, fine) + bias[:, None, None]
    loss = functional.cross_entropy(logits, labels, ignore_index=-1)
    loss = loss + 0.5 * l2 * weight.square().sum()
    loss.backward()
    assert fit.loss == pytest.approx(loss.item(), rel=1e-9)
    assert weight.grad.abs().max() < 1e-7
    assert bias.grad.abs().max() < 1e-7


def test_separable_classes_are_separated_exactly():
    labels = torch.arange(4).reshape(2, 2).repeat(3, 1, 1).repeat_interleave(8, 1)
    labels = labels.repeat_interleave(8, 2)
    features = functional.one_hot(labels[:, ::8, ::8], 4).permute(0, 3, 1, 2).float()
    fit = fit_one([features], list(labels), 4, 1e-4, (2, 2))
    prediction = pixel_logits(fit, [features], (16, 16)).argmax(1)
    assert torch.equal(prediction, labels)


def test_two_classes_from_one_binary_feature_in_closed_form():
    """Without penalty to speak of, the logit difference is the log odds of the counts."""
    features = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0]).reshape(8, 1, 1, 1)
    truth = torch.tensor([0, 0, 1, 0, 1, 1, 1, 1]).reshape(8, 1, 1)
    fit = fit_one([features], list(truth), 2, 1e-7, (1, 1), tolerance=1e-6)
    logits = pixel_logits(fit, [features], (1, 1)).flatten(1)
    odds = logits[:, 1] - logits[:, 0]
    assert odds[0].item() == pytest.approx(math.log(1 / 2), abs=1e-3)
    assert odds[-1].item() == pytest.approx(math.log(4 / 1), abs=1e-3)


def test_overwhelming_penalty_leaves_the_class_frequencies():
    features, labels = _problem()
    fit = fit_one([features], list(labels), 3, 1e6, (8, 8))
    frequencies = torch.bincount(labels.flatten(), minlength=3) / labels.numel()
    probabilities = pixel_logits(fit, [features], (2, 2)).softmax(1).mean((0, 2, 3))
    torch.testing.assert_close(probabilities, frequencies, rtol=1e-3, atol=1e-3)


def test_what_is_void_is_not_there():
    features, labels = _problem()
    features = torch.cat([features, features[:1]])  # a copy, so that the mean and scale are known
    blank = torch.cat([labels, torch.full_like(labels[:1], -1)])
    twice = torch.cat([labels, labels[:1]])
    without = torch.cat([torch.full_like(labels[:1], -1), twice[1:]])
    fits = [fit_one([features], list(x), 3, 1e-2, (8, 8), 1e-7) for x in (blank, without, twice)]
    torch.testing.assert_close(fits[0].weights[0], fits[1].weights[0], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(fits[0].weights[0], fits[2].weights[0], rtol=1e-2)


def test_answer_does_not_depend_on_scale_or_offset_of_the_features():
    features, labels = _problem()
    plain = fit_one([features], list(labels), 3, 1e-2, (8, 8), tolerance=1e-6)
    moved = features * torch.tensor([1e-3, 1.0, 50.0, 7.0, 0.2])[:, None, None] + 20
    other = fit_one([moved], list(labels), 3, 1e-2, (8, 8), tolerance=1e-6)
    torch.testing.assert_close(
        pixel_logits(plain, [features], (8, 8)), pixel_logits(other, [moved], (8, 8)),
        rtol=1e-2, atol=1e-2,
    )  # fmt: skip


def test_a_constant_channel_and_a_second_stage_are_harmless():
    features, labels = _problem()
    constant = torch.full((6, 1, 2, 2), 3.0)
    one = fit_one([features], list(labels), 3, 1e-2, (8, 8), tolerance=1e-6)
    two = fit_one([features, constant], list(labels), 3, 1e-2, (8, 8), tolerance=1e-6)
    assert two.loss == pytest.approx(one.loss, rel=1e-5)
    assert torch.isfinite(two.weights[1]).all()


def test_two_stages_are_upsampled_each_from_its_own_grid():
    features, labels = _problem()
    coarse = functional.avg_pool2d(features, 2)
    fit = fit_one([features, coarse], list(labels), 3, 1e-2, (8, 8))
    maps = torch.cat(
        [functional.interpolate(x, size=(16, 16), mode="bilinear") for x in (features, coarse)], 1
    )
    weight = torch.cat(fit.weights, 1)
    expected = torch.einsum("kc,nchw->nkhw", weight, maps) + fit.bias[:, None, None]
    torch.testing.assert_close(
        pixel_logits(fit, [features, coarse], (16, 16)), expected, rtol=1e-4, atol=1e-4
    )


def test_label_cells_hold_the_share_of_each_class():
    labels = torch.tensor([[0, 0, 1, -1], [0, 1, -1, -1]])
    cells = label_cells(labels, (1, 2), 2)
    assert cells.tolist() == [[[0.75, 0.0]], [[0.25, 0.25]]]


def test_images_may_come_in_parts_of_any_size(monkeypatch):
    features, labels = _problem()
    whole = fit_one([features.double()], list(labels), 3, 1e-2, (8, 8), tolerance=1e-8)
    monkeypatch.setattr(linear_probe, "_CHUNK", 4)  # of 6 images
    parts = fit_one([features.double()], list(labels), 3, 1e-2, (8, 8), tolerance=1e-8)
    torch.testing.assert_close(parts.weights[0], whole.weights[0], rtol=1e-6, atol=1e-8)


def test_nothing_to_learn_or_to_learn_from():
    features, labels = _problem()
    with pytest.raises(DenseCLError, match="all pixels of the training masks are void"):
        fit_one([features], list(labels * 0 - 1), 3, 1e-2, (8, 8))
    features[2, 1, 0, 0] = torch.nan
    with pytest.raises(DenseCLError, match="not finite"):
        fit_one([features], list(labels), 3, 1e-2, (8, 8))
