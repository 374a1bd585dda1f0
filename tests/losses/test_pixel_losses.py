"""PixPro and PixContrast: the authors' numbers, loops over locations, and images without a pair."""

import math

import pytest
import torch
import torch.nn.functional as F

from dense_cl.losses.pixel_consistency import pixel_consistency
from dense_cl.losses.pixel_contrast import pixel_contrast
from dense_cl.losses.pixel_propagation import propagate

CLOSE = {"rtol": 1e-8, "atol": 1e-12}


@pytest.mark.parametrize("case", [1, 2])
def test_consistency_golden(golden, case):
    data = golden(f"pixpro_regression_{case}")
    views = [
        torch.tensor(data[f"query{v}"]).flatten(2).requires_grad_() for v in (1, 2)
    ]  # unit vectors
    keys = [torch.tensor(data[f"key{v}"]).flatten(2) for v in (1, 2)]
    near = torch.tensor(data["expected_positive_mask_q1_k2"]).double()
    losses = (
        pixel_consistency(views[0], keys[1], near),
        pixel_consistency(views[1], keys[0], near.mT),
    )
    sum(losses).backward()
    for loss, name in zip(losses, ("q1_k2", "q2_k1"), strict=True):
        torch.testing.assert_close(loss.item(), float(data[f"expected_loss_{name}"]), **CLOSE)
    for v in (0, 1):
        expected = torch.tensor(data[f"expected_grad_query{v + 1}"]).flatten(2)
        torch.testing.assert_close(views[v].grad, expected, **CLOSE)
    each = [
        pixel_consistency(*(x[n : n + 1] for x in (views[0].detach(), keys[1], near)))
        for n in range(len(near))
    ]
    torch.testing.assert_close(
        torch.stack(each), torch.tensor(data["expected_per_sample_loss_q1_k2"]), **CLOSE
    )


@pytest.mark.parametrize("case", [1, 2])
def test_propagation_golden(golden, case):
    data = golden(f"pixpro_ppm_{case}")
    features = torch.tensor(data["features"], requires_grad=True)
    values = features
    if data["transform_layers"] == 1:
        weight = torch.tensor(data["transform_weight"])[:, :, None, None]
        values = F.conv2d(features, weight, torch.tensor(data["transform_bias"]))
    power, clamp = float(data["power"]), float(data["clamp_value"])
    out = propagate(features.flatten(2), values.flatten(2), power, clamp).view_as(features)
    (out * torch.tensor(data["upstream_grad"])).sum().backward()
    torch.testing.assert_close(out, torch.tensor(data["expected_output"]), **CLOSE)
    torch.testing.assert_close(features.grad, torch.tensor(data["expected_grad_features"]), **CLOSE)


def test_propagation_of_like_and_unlike_locations():
    """Two equal locations and an orthogonal one: 2 g, 2 g and g; opposite ones do not mix."""
    features = torch.tensor([[3.0, 0.0], [1.0, 0.0], [0.0, 2.0]], dtype=torch.float64).T[None]
    out = propagate(features, features)
    torch.testing.assert_close(out, torch.tensor([[[2.0, 2, 0], [0, 0, 1]]]).double())
    opposite = torch.tensor([[[1.0, -1.0]]], dtype=torch.float64)
    torch.testing.assert_close(propagate(opposite, opposite), opposite)


def pairs(seed=0, batch=3, channels=4, queries=5, keys=6):
    torch.manual_seed(seed)
    query = F.normalize(torch.randn(batch, channels, queries, dtype=torch.float64), dim=1)
    key = F.normalize(torch.randn(batch, channels, keys, dtype=torch.float64), dim=1)
    positive = torch.rand(batch, queries, keys) < 0.3
    positive[0, 2] = False  # a location without a positive
    positive[1] = False  # an image without one
    return query.requires_grad_(), key, positive


def test_contrast_equals_a_loop_over_locations():
    query, key, positive = pairs()
    images = []
    for q, k, p in zip(query, key, positive, strict=True):
        losses = []
        for s in range(q.shape[1]):
            if p[s].any():
                weight = torch.stack([torch.exp(q[:, s] @ k[:, t] / 0.3) for t in range(6)])
                losses.append(-torch.log(weight[p[s]].sum() / weight.sum()))
        images.append(torch.stack(losses).mean() if losses else torch.zeros(()).double())
    expected = torch.stack(images).mean()
    torch.testing.assert_close(pixel_contrast(query, key, positive), expected)


def test_contrast_of_features_that_tell_nothing():
    """All alike: the loss is the logarithm of the share of positives."""
    alike = torch.ones(1, 1, 4, dtype=torch.float64)
    positive = torch.tensor([[[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]]).bool()
    expected = (math.log(4) + math.log(2) + 0) / 3
    assert pixel_contrast(alike, alike, positive).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "loss",
    [pixel_contrast, lambda q, k, p: pixel_consistency(q, k, p.double())],
    ids=["contrast", "consistency"],
)
def test_gradients_and_no_overlap(loss):
    query, key, positive = pairs(1)
    assert torch.autograd.gradcheck(lambda q: loss(q, key, positive), [query])
    nothing = loss(query, key, torch.zeros_like(positive))
    (gradient,) = torch.autograd.grad(nothing, query)
    assert nothing == 0 and (gradient == 0).all()
    # An image without a pair changes neither the others' sum nor their gradient.
    some, rest = loss(query, key, positive), [0, 2]
    without = loss(query[rest], key[rest], positive[rest])
    torch.testing.assert_close(3 * some, 2 * without)
    (gradient,) = torch.autograd.grad(some, query)
    assert (gradient[1] == 0).all() and (gradient[0] != 0).any()
