"""SimSiam's predictor keeps its learning rate."""

import math
from typing import Any, ClassVar

import pytest
from mmengine.hooks import Hook

from dense_cl import pretrain
from dense_cl.errors import DenseCLError
from dense_cl.registry import HOOKS
from tests.engine.tiny import tiny_config

SIMSIAM = dict(
    type="SimSiam",
    head=dict(type="MLPHead", hidden_channels=16, out_channels=8, norm="BN"),
    predictor=dict(hidden_channels=4),
)
GROUPS = dict(custom_keys={".predictor.": dict(lr_mult=1.0)})


def config(photos, work_dir, modules=("predictor",), **changes):
    cfg = tiny_config(photos, work_dir, **changes)
    cfg.model.update(target=None, objectives=[SIMSIAM])
    cfg.custom_hooks = [dict(type="FixedLRHook", modules=list(modules))]
    cfg.param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=False, T_max=12)]
    return cfg


@HOOKS.register_module()
class RecordRates(Hook):
    """Note the learning rate of every parameter as the optimiser uses it."""

    rates: ClassVar[list[dict[str, float]]] = []

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        names = {id(p): name for name, p in runner.learner.named_parameters()}
        groups = runner.optim_wrapper.optimizer.param_groups
        self.rates.append({names[id(p)]: g["lr"] for g in groups for p in g["params"]})


def test_the_predictor_keeps_its_rate_and_the_rest_follows_the_schedule(photos, tmp_path):
    cfg = config(photos, tmp_path)
    cfg.optim_wrapper.paramwise_cfg = GROUPS
    # Before the schedule's hook, at the end of an iteration.
    cfg.custom_hooks.append(dict(type="RecordRates", priority="VERY_HIGH"))
    RecordRates.rates.clear()
    pretrain(cfg)
    assert len(RecordRates.rates) == 12
    for number, rates in enumerate(RecordRates.rates):
        cosine = 0.05 * (1 + math.cos(math.pi * number / 12)) / 2
        for name, rate in rates.items():
            expected = 0.05 if ".predictor." in name else cosine
            assert rate == pytest.approx(expected, rel=1e-6), (number, name)


def test_shared_groups_and_unknown_modules_are_refused(photos, tmp_path):
    with pytest.raises(DenseCLError, match="paramwise_cfg"):
        pretrain(config(photos, tmp_path / "shared"))
    with pytest.raises(DenseCLError, match="no parameter belongs to a module named"):
        pretrain(config(photos, tmp_path / "typo", modules=["predictr"]))
