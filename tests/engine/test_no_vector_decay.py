"""Which parameters decay, in the optimiser that a recipe builds."""

import pytest
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

import dense_cl.objectives  # noqa: F401  (registers them)
from dense_cl.engine.config import load_config
from dense_cl.models import Learner
from dense_cl.registry import MODELS
from tests.engine.tiny import TinyBackbone


def groups(model, cfg):
    """Return the optimiser's options of every parameter that learns, by its name."""
    with DefaultScope.overwrite_default_scope("dense_cl"):  # as in a run
        wrapper = build_optim_wrapper(model, cfg)
    of = {id(p): group for group in wrapper.param_groups for p in group["params"]}
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
    return {name: (parameter.ndim, of[id(parameter)]) for name, parameter in learning.items()}


def test_leopart_has_the_authors_groups():
    """The backbone at a tenth of the rate; biases and norms without decay in it and in the head."""
    cfg = load_config("leopart_vit_small_2xb32_cosine_50e_coco")
    cfg.model.backbone.update(pretrained=False, depth=2)
    found = groups(MODELS.build(cfg.model), cfg.optim_wrapper.to_dict())
    for name, (ndim, group) in found.items():
        assert group["lr"] == pytest.approx(1e-5 if name.startswith("backbone.") else 1e-4), name
        assert group["weight_decay"] == (0.0 if ndim == 1 else 0.04), name
    kinds = {(name.startswith("backbone."), ndim == 1) for name, (ndim, _) in found.items()}
    assert len(kinds) == 4


def test_it_needs_no_other_option():
    head = dict(type="MLPHead", hidden_channels=16, out_channels=8, norm="BN")
    model = Learner(dict(type=TinyBackbone.__name__), [dict(type="SimCLR", head=head)])
    optimizer = dict(type="SGD", lr=0.1, weight_decay=0.5)
    found = groups(model, dict(constructor="NoVectorDecay", optimizer=optimizer))
    assert {(ndim == 1, g["weight_decay"]) for ndim, g in found.values()} == {
        (True, 0.0),
        (False, 0.5),
    }
