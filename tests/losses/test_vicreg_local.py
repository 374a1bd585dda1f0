"""VICRegL: the authors' numbers, a plain transcription, and pairs that do not count."""

import pytest
import torch

from dense_cl.losses.vicreg import vicreg
from dense_cl.losses.vicreg_local import vicreg_local

CLOSE = {"rtol": 1e-8, "atol": 1e-12}


@pytest.mark.parametrize("case", [1, 2])
def test_global_golden(golden, case):
    """VICReg's terms of two and three views; VICRegL takes half of VICReg's covariance."""
    data = golden(f"vicregl_loss_{case}")
    views = [
        torch.tensor(data[f"embedding{v}"], requires_grad=True)
        for v in range(int(data["num_views"]))
    ]
    weights = [float(data[f"{name}_coeff"]) for name in ("inv", "var", "cov")]
    weights[2] /= 2
    terms = [weight * term for weight, term in zip(weights, vicreg(*views), strict=True)]
    for term, name in zip(terms, ("invariance", "variance", "covariance"), strict=True):
        torch.testing.assert_close(term.item(), float(data[f"expected_global_{name}"]), **CLOSE)
    sum(terms).backward()
    for v, view in enumerate(views):
        expected = torch.tensor(data[f"expected_grad_embedding{v}_global"])
        torch.testing.assert_close(view.grad, expected, **CLOSE)


def slow_terms(first, second):
    """One location and one side at a time, with the full covariance matrix."""
    variance, covariance = [], []
    for side in (first, second):
        for k in range(side.shape[1]):
            variance.append((1 - (side[:, k].var(dim=0) + 1e-4).sqrt()).clamp_min(0).mean())
            matrix = side[:, k].T.cov()
            off_diagonal = matrix - matrix.diagonal().diag()
            covariance.append(off_diagonal.square().sum() / side.shape[2])
    invariance = (first - second).square().mean()
    return [invariance, torch.stack(variance).mean(), torch.stack(covariance).mean()]


@pytest.mark.parametrize("channels", [3, 12], ids=["few channels", "many channels"])
def test_equals_a_transcription(channels):
    torch.manual_seed(0)
    sides = [0.5 * torch.randn(6, 4, channels, dtype=torch.float64) for _ in range(2)]
    torch.testing.assert_close(list(vicreg_local(*sides)), slow_terms(*sides))
    for side in sides:
        side.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: sum(vicreg_local(x, y)), sides)


def test_only_counted_pairs_have_to_agree():
    torch.manual_seed(0)
    sides = [torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    counted = torch.rand(5, 3) < 0.5
    difference = (sides[0] - sides[1]).square().mean(dim=2)
    terms, everyone = vicreg_local(*sides, counted), vicreg_local(*sides)
    torch.testing.assert_close(terms.invariance, difference[counted].mean())
    assert terms[1:] == everyone[1:]
    nothing = vicreg_local(*sides, torch.zeros_like(counted)).invariance
    gradients = torch.autograd.grad(nothing, sides)
    assert nothing == 0 and all((gradient == 0).all() for gradient in gradients)
