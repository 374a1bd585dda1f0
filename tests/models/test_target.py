"""The EMA copy: the authors' sequences, buffers, gradients and ownership."""

import copy
import logging

import pytest
import torch
import torch.nn.functional as F
from mmengine.logging import MMLogger
from timm.layers import DropPath
from torch import nn

from dense_cl.errors import DenseCLError
from dense_cl.models.backbones import build_backbone
from dense_cl.models.learner import Learner
from dense_cl.models.target import TargetNetwork


class TwoTensors(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(b))


@pytest.mark.parametrize("case", [1, 2])
@pytest.mark.parametrize("kind", ["cosine_tau", "constant"])
def test_golden_sequence(golden, case, kind):
    data = golden(f"ema_sequence_{case}")
    decay = float(data["constant_momentum"])
    if kind == "cosine_tau":
        start, end = float(data["tau_base"]), float(data["tau_final"])
        decay = {"kind": "cosine", "start": start, "end": end}
    online = TwoTensors(data["initial_target_a"], data["initial_target_b"])
    target = TargetNetwork(online, decay)
    total = int(data["max_steps"])
    for step in range(total):
        with torch.no_grad():
            online.a.copy_(torch.tensor(data["online_sequence_a"][step]))
            online.b.copy_(torch.tensor(data["online_sequence_b"][step]))
        target.update(step, total)
        for name in "ab":
            expected = torch.tensor(data[f"expected_target_{name}_{kind}"][step])
            mine = getattr(target.network, name)
            torch.testing.assert_close(mine.data, expected, rtol=1e-8, atol=1e-12)


def test_batch_norm_keeps_its_own_statistics():
    online = nn.BatchNorm2d(3)
    target = TargetNetwork(online, 0.5)
    online(torch.randn(4, 3, 2, 2) + 5)
    target.update(0)
    assert torch.equal(target.network.running_mean, torch.zeros(3))
    target(torch.randn(4, 3, 2, 2) - 5)
    assert (target.network.running_mean < 0).all() and (online.running_mean > 0).all()


def test_the_copy_drops_nothing():
    """Neither units nor branches, at first or after `train()`; only batch norm is trained in."""
    layers = nn.Dropout(), DropPath(0.5), nn.BatchNorm1d(8)
    online = nn.Sequential(*layers)
    for target in (TargetNetwork(online, 0.5), TargetNetwork(online, 0.5).eval().train()):
        vectors = torch.randn(16, 8)
        torch.testing.assert_close(
            target(vectors), F.batch_norm(vectors, None, None, training=True)
        )
        assert [m.training for m in target.network] == [False, False, True]
    assert all(m.training for m in online)
    assert not TargetNetwork(online, 0.5).eval().network[2].training


def test_online_is_not_owned_and_nothing_requires_a_gradient():
    online = nn.Linear(2, 2)
    target = TargetNetwork(online, 0.5)
    assert set(target.state_dict()) == {"network.weight", "network.bias"}
    assert not any(p.requires_grad for p in target.parameters())
    assert not target(torch.randn(1, 2, requires_grad=True)).requires_grad


def test_a_deep_copy_follows_the_copied_online_module():
    online = nn.Linear(2, 2)
    pair = copy.deepcopy(nn.ModuleList([online, TargetNetwork(online, 0.0)]))
    with torch.no_grad():
        pair[0].weight.fill_(7)
    pair[1].update(0)
    assert (pair[1].network.weight == 7).all() and not (online.weight == 7).any()


def test_no_decay_is_refused():
    with pytest.raises(DenseCLError, match="ema_decay"):
        TargetNetwork(nn.Linear(1, 1)).update(0)


SWIN = dict(embed_dims=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 3, 6))


@pytest.mark.parametrize(
    "backbone", [dict(type="ResNet", depth=18), dict(type="SwinTransformer", **SWIN)]
)
def test_it_starts_as_a_copy_of_mmdetections_backbone(backbone):
    head = dict(type="MLPHead", hidden_channels=8, out_channels=8)
    learner = Learner(
        backbone=backbone | dict(type=f"mmdet.{backbone['type']}"),
        target=dict(ema_decay=0.99),
        objectives=[dict(type="InfoNCE", head=head, queue_size=8, temperature=0.2)],
    )
    learner.init_weights()  # as MMEngine does when training begins
    target = learner.target.network.state_dict()
    for name, value in learner.backbone.state_dict().items():
        assert torch.equal(value, target[name]), name
    if backbone["type"] == "ResNet":
        deep = learner.backbone.layer4[1].conv2.weight  # Kaiming's variance, 2 / fan-out
        assert deep.var().item() == pytest.approx(2 / (512 * 9), rel=0.05)


def test_mmdetections_weights_are_drawn_without_a_word_and_the_logger_goes_on():
    logger, heard = MMLogger.get_current_instance(), []
    handler = logging.Handler(logging.INFO)
    handler.emit = heard.append
    logger.addHandler(handler)
    try:
        build_backbone(SWIN | dict(type="mmdet.SwinTransformer"))
        assert not heard  # or every parameter would have its lines
        logger.warning("still there")
    finally:
        logger.removeHandler(handler)
    assert [record.getMessage() for record in heard] == ["still there"]
