"""Frozen parameters stay bit for bit, with any optimiser, and come back when their time is over."""

from typing import Any, ClassVar

import pytest
import torch
from mmengine.hooks import Hook

from dense_cl import pretrain
from dense_cl.errors import DenseCLError
from dense_cl.registry import HOOKS
from tests.engine.interrupt import SAVE_OFTEN, PowerCut, differences, final_state
from tests.engine.tiny import tiny_config

SHALLOW = "backbone.shallow.0.weight"
COPY = "target.network.shallow.0.weight"
DEEP = "backbone.deep.0.weight"


@HOOKS.register_module()
class RecordWeights(Hook):
    """Note some weights before training and after every iteration."""

    seen: ClassVar[list[dict[str, torch.Tensor]]] = []

    def before_train(self, runner: Any) -> None:
        self.seen.clear()
        self.after_train_iter(runner)

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        state = runner.learner.state_dict()
        self.seen.append({name: state[name].clone() for name in (SHALLOW, COPY, DEEP)})


def config(photos, work_dir, freeze, **changes):
    cfg = tiny_config(photos, work_dir, **changes)
    cfg.custom_hooks = [dict(type="FreezeHook", **freeze), dict(type="RecordWeights")]
    return cfg


OPTIMISERS = {
    "sgd": dict(type="SGD", lr=0.05, momentum=0.9, weight_decay=0.1),
    "adamw": dict(type="AdamW", lr=1e-3, weight_decay=0.1, fused=True),
    "lars": dict(type="LARS", lr=0.5, weight_decay=0.1),
}


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_frozen_for_an_epoch_then_free(photos, tmp_path, optimiser):
    cfg = config(photos, tmp_path, dict(modules=["backbone.shallow"], epochs=1))
    cfg.optim_wrapper.optimizer = OPTIMISERS[optimiser]
    pretrain(cfg)
    seen = RecordWeights.seen
    assert len(seen) == 13  # 3 epochs of 4 iterations
    for before, after in zip(seen[:4], seen[1:5], strict=True):
        assert torch.equal(after[SHALLOW], before[SHALLOW])
        assert torch.equal(after[COPY], before[COPY])
        assert not torch.equal(after[DEEP], before[DEEP])
    for before, after in zip(seen[4:11], seen[5:12], strict=True):  # the last step has rate ~0
        assert not torch.equal(after[SHALLOW], before[SHALLOW])
        assert not torch.equal(after[COPY], before[COPY])


def test_frozen_for_ever_and_without_optimiser_state(photos, tmp_path):
    pretrain(config(photos, tmp_path, dict(modules=["backbone.shallow", "backbone.deep.0"])))
    for name in (SHALLOW, COPY, DEEP):
        assert torch.equal(RecordWeights.seen[-1][name], RecordWeights.seen[0][name])
    state = final_state(tmp_path)
    assert not torch.equal(  # batch norm behind the frozen convolution is free
        state["state_dict"]["backbone.deep.1.weight"], torch.ones(16)
    )
    optimised = len(state["optimizer"]["state"])
    pretrain(tiny_config(photos, tmp_path / "free"))
    free = len(final_state(tmp_path / "free")["optimizer"]["state"])
    assert optimised == free - 4  # convolution, scale and shift of shallow, convolution of deep


def test_until_it_is_free_it_has_no_momentum(photos, tmp_path):
    """The first free step is that of an optimiser that has never seen the parameter."""
    cfg = config(photos, tmp_path, dict(modules=["backbone.shallow"], epochs=1), **SAVE_OFTEN)
    cfg.default_hooks.checkpoint.keep = 20
    pretrain(cfg)
    ordered = [
        torch.load(tmp_path / f"checkpoints/iter_{n}.pth", weights_only=True)["optimizer"]["state"]
        for n in (4, 5)
    ]
    assert len(ordered[1]) == len(ordered[0]) + 3


@pytest.mark.parametrize("iteration", [2, 5])
def test_resumes_exactly_while_frozen_and_after(photos, tmp_path, iteration):
    def run(name, **options):
        freeze = dict(modules=["backbone.shallow"], epochs=1)
        cfg = config(photos, tmp_path / name, freeze, **SAVE_OFTEN)
        cfg.custom_hooks += options.get("hooks", [])
        pretrain(cfg, resume="auto")

    run("whole")
    with pytest.raises(PowerCut):
        run("cut", hooks=[dict(type="ActAtIteration", iteration=iteration, action="cut")])
    run("cut")
    assert differences(final_state(tmp_path / "whole"), final_state(tmp_path / "cut")) == []


def test_mistakes_are_named(photos, tmp_path):
    wrong = config(photos, tmp_path / "name", dict(modules=["backbone.shalow"]))
    with pytest.raises(DenseCLError, match="Did you mean 'backbone.shallow'"):
        pretrain(wrong)
    part = config(photos, tmp_path / "part", dict(modules=["backbone.shal"]))
    with pytest.raises(DenseCLError, match="begins with 'backbone.shal'"):
        pretrain(part)
    with pytest.raises(DenseCLError, match="epochs=0"):
        pretrain(config(photos, tmp_path / "epochs", dict(modules=["backbone"], epochs=0)))
