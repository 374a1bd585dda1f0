"""Barlow Twins and VICReg: the authors' numbers, closed forms and gradients."""

import math

import pytest
import torch

from dense_cl.losses.barlow_twins import barlow_twins
from dense_cl.losses.squared_products import squared_products
from dense_cl.losses.vicreg import vicreg

CLOSE = {"rtol": 1e-8, "atol": 1e-12}


@pytest.mark.parametrize("case", [1, 2])
def test_barlow_twins_golden(golden, case):
    data = golden(f"barlow_twins_{case}")
    views = [torch.tensor(data[f"z{v}"], requires_grad=True) for v in (1, 2)]
    terms = barlow_twins(*views, float(data["lambda_offdiag"]), float(data["bn_eps"]))
    terms.loss.backward()
    for value, name in zip(terms, ("loss", "on_diag", "off_diag"), strict=True):
        torch.testing.assert_close(value.item(), float(data[f"expected_{name}"]), rtol=1e-8, atol=0)
    for v in (1, 2):
        expected = torch.tensor(data[f"expected_grad_z{v}"])
        torch.testing.assert_close(views[v - 1].grad, expected, **CLOSE)


@pytest.mark.parametrize("case", [1, 2])
def test_vicreg_golden(golden, case):
    data = golden(f"vicreg_{case}")
    views = [torch.tensor(data[name], requires_grad=True) for name in ("x", "y")]
    terms = vicreg(*views)
    weights = [float(data[f"{name}_coeff"]) for name in ("sim", "std", "cov")]
    loss = sum(w * term for w, term in zip(weights, terms, strict=True))
    loss.backward()
    for name, value in zip(terms._fields, terms, strict=True):
        expected = float(data[f"expected_{name}"])
        torch.testing.assert_close(value.item(), expected, rtol=1e-8, atol=0)
    torch.testing.assert_close(loss.item(), float(data["expected_loss"]), rtol=1e-8, atol=0)
    for view, name in zip(views, ("x", "y"), strict=True):
        torch.testing.assert_close(view.grad, torch.tensor(data[f"expected_grad_{name}"]), **CLOSE)


def test_decorrelated_views_cost_barlow_twins_nothing():
    # Columns of a Hadamard matrix: zero mean, variance 1, orthogonal.
    columns = torch.tensor([[1, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]]).double()
    terms = barlow_twins(columns, 3 * columns + 7, 0.005, eps=0.0)
    assert terms.loss.item() == pytest.approx(0, abs=1e-12)
    swapped = barlow_twins(columns, columns[:, [1, 0, 2]], 0.005, eps=0.0)
    assert swapped.on_diagonal.item() == pytest.approx(2)
    assert swapped.off_diagonal.item() == pytest.approx(2)
    assert swapped.loss.item() == pytest.approx(2.01)


def test_collapsed_and_spread_features_in_vicreg():
    constant = torch.ones(4, 3).double()
    terms = vicreg(constant, constant)
    assert terms.variance.item() == pytest.approx(1 - math.sqrt(1e-4))
    assert terms.invariance == 0 and terms.covariance == 0
    spread = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0], [0.0, -2.0]]).double()
    terms = vicreg(spread, spread + 0.5)
    assert terms.variance == 0 and terms.covariance.item() == pytest.approx(0)
    assert terms.invariance.item() == pytest.approx(0.25)


@pytest.mark.parametrize(
    "loss",
    [lambda x, y: barlow_twins(x, y, 0.005).loss, lambda x, y: sum(vicreg(x, y))],
    ids=["barlow_twins", "vicreg"],
)
def test_gradients(loss):
    torch.manual_seed(1)
    views = [torch.randn(5, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(loss, views)


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (4, 4)])
def test_squared_products_are_those_of_the_matrix(shape):
    first, second = torch.randn(2, *shape, dtype=torch.float64)
    expected = (first.T @ second).square().sum()
    torch.testing.assert_close(squared_products(first, second), expected)


def test_wide_features_make_no_square_matrix_and_no_half_precision():
    first, second = torch.randn(2, 8, 4096)
    exact = squared_products(first.double(), second.double())
    with (
        torch.autocast("cpu", torch.bfloat16),
        torch.profiler.profile(profile_memory=True) as profile,
    ):
        found = squared_products(first, second)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=0)
    assert max(event.self_cpu_memory_usage for event in profile.events()) < 4096**2
