"""VICRegL: the authors' numbers, a plain transcription, and pairs that do not count."""

import pytest
import torch

from dense_cl.errors import DenseCLError
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


@pytest.mark.parametrize("channels", [3, 12], ids=["few channels", "many channels"])
def test_pairs_that_do_not_count_take_no_part(channels):
    """Of five images the first location counts in all, the next in three, one and none."""
    sides = [0.5 * torch.randn(5, 4, channels).double().requires_grad_() for _ in range(2)]
    counted = torch.zeros(5, 4, dtype=torch.bool)
    counted[:, 0] = counted[1:4, 1] = counted[2, 2] = True
    terms = vicreg_local(*sides, counted)
    difference = (sides[0] - sides[1]).square().mean(dim=2)
    torch.testing.assert_close(terms.invariance, difference[counted].mean())
    whole = slow_terms(*(side[:, :1] for side in sides))
    part = slow_terms(*(side[1:4, 1:2] for side in sides))
    for mine, of_five, of_three in zip(terms[1:], whole[1:], part[1:], strict=True):
        torch.testing.assert_close(mine, (4 * of_five + 2 * of_three) / 6)
    for gradient in torch.autograd.grad(sum(terms), sides):
        assert (gradient[~counted] == 0).all() and (gradient[counted] != 0).all()
    assert torch.autograd.gradcheck(lambda x, y: sum(vicreg_local(x, y, counted)), sides)


def test_where_all_count_nothing_changes():
    sides = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    everyone = torch.ones(5, 3, dtype=torch.bool)
    torch.testing.assert_close(list(vicreg_local(*sides, everyone)), list(vicreg_local(*sides)))


def test_nothing_that_counts_is_a_loss_of_0():
    sides = [torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    nothing = sum(vicreg_local(*sides, torch.zeros(5, 3, dtype=torch.bool)))
    gradients = torch.autograd.grad(nothing, sides)
    assert nothing == 0 and all((gradient == 0).all() for gradient in gradients)


def test_one_image_has_no_statistics():
    alone = torch.randn(1, 3, 4)
    for terms in (lambda: vicreg_local(alone, alone), lambda: vicreg(alone[0, :1], alone[0, :1])):
        with pytest.raises(DenseCLError, match="statistics over the images .* 2 at least"):
            terms()
