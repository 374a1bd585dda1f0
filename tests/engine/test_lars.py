"""LARS against the authors' optimisers."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

import dense_cl.objectives  # noqa: F401  (registers them)
from dense_cl.engine.lars import LARS
from dense_cl.errors import DenseCLError
from dense_cl.models import Learner
from tests.engine.tiny import TinyBackbone

NAMES = ("weight", "bias", "zero_weight")


@pytest.mark.parametrize("case", [1, 2])
@pytest.mark.parametrize("source", ["mocov3", "vicreg_exclude_bias"])
def test_golden(golden, case, source):
    data = golden(f"lars_{case}")
    parameters = {n: torch.tensor(data[f"initial_{n}"], requires_grad=True) for n in NAMES}
    options = {n: float(data[n]) for n in ("lr", "weight_decay", "momentum", "trust_coefficient")}
    optimizer = LARS(parameters.values(), **options)
    for step in range(len(data["grad_weight"])):
        for name, parameter in parameters.items():
            parameter.grad = torch.tensor(data[f"grad_{name}"][step])
        optimizer.step()
        for name, parameter in parameters.items():
            expected = torch.tensor(data[f"expected_{name}_{source}"][step])
            torch.testing.assert_close(parameter.detach(), expected, rtol=1e-8, atol=1e-12)


def test_one_dimensional_tensors_have_their_own_rate():
    weight, bias = torch.ones(2, 2, requires_grad=True), torch.ones(2, requires_grad=True)
    weight.grad, bias.grad = torch.ones(2, 2), torch.ones(2)
    LARS([weight, bias], lr=0.2, trust_coefficient=0.5, bias_lr_mult=0.024).step()
    torch.testing.assert_close(bias.detach(), torch.full((2,), 1 - 0.2 * 0.024))
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), 1 - 0.2 * 0.5))


def test_state_is_restored_exactly():
    torch.manual_seed(0)
    start, gradients = torch.randn(3, 3), torch.randn(4, 3, 3)
    through = start.clone().requires_grad_()
    optimizer = LARS([through], lr=0.1, weight_decay=0.1)
    stopped = start.clone().requires_grad_()
    first = LARS([stopped], lr=0.1, weight_decay=0.1)
    second = LARS([stopped], lr=0.1, weight_decay=0.1)
    for step, gradient in enumerate(gradients):
        through.grad = stopped.grad = gradient
        optimizer.step()
        if step == 2:
            second.load_state_dict(first.state_dict())
        (first if step < 2 else second).step()
    assert torch.equal(through, stopped)


def test_parameters_without_gradient_stay_and_negative_rates_are_refused():
    parameter = torch.ones(2, 2, requires_grad=True)
    LARS([parameter], lr=0.1, weight_decay=1.0).step()
    assert torch.equal(parameter, torch.ones(2, 2))
    with pytest.raises(DenseCLError, match="lr=-0.1"):
        LARS([parameter], lr=-0.1)


def test_one_line_gives_the_predictor_its_own_rate():
    """BYOL's predictor at ten times the rate: its first step is ten times as long."""
    norm = dict(norm="BN")
    method = dict(
        type="BYOL",
        head=dict(type="MLPHead", hidden_channels=16, out_channels=8, **norm),
        predictor=dict(hidden_channels=16, **norm),
    )
    steps = []
    for options in ({}, dict(paramwise_cfg=dict(custom_keys={".predictor.": dict(lr_mult=10.0)}))):
        torch.manual_seed(0)
        model = Learner(dict(type=TinyBackbone.__name__), [method], target=dict(ema_decay=0.9))
        cfg = dict(optimizer=dict(type="LARS", lr=0.1, weight_decay=1e-4), **options)
        with DefaultScope.overwrite_default_scope("dense_cl"):  # as in a run
            wrapper = build_optim_wrapper(model, cfg)
        before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        for name, parameter in model.named_parameters():
            if name in before:
                parameter.grad = torch.ones_like(parameter)
        wrapper.step()
        steps.append({n: model.get_parameter(n).detach() - old for n, old in before.items()})
    assert any(".predictor." in name for name in steps[0])
    for name, plain in steps[0].items():
        factor = 10 if ".predictor." in name else 1
        torch.testing.assert_close(steps[1][name], factor * plain, rtol=1e-3, atol=1e-6)
