"""ResNet keeps torchvision's weights and numbers; other backbones are measured."""

import learners
import pytest
import torch
import torchvision
from torch import nn

from dense_cl.errors import DenseCLError
from dense_cl.models.backbones import ResNet, build_backbone
from dense_cl.models.norm import SyncBatchNorm2d


@pytest.mark.parametrize("depth", [18, 50])
def test_resnet_is_torchvisions(depth):
    theirs = getattr(torchvision.models, f"resnet{depth}")().eval()
    weights = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    mine = ResNet(depth).eval()
    mine.load_state_dict(weights, strict=True)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        maps = mine(image)
        torch.testing.assert_close(theirs.fc(maps[-1].mean(dim=(2, 3))), theirs(image))
    assert tuple(m.shape[1] for m in maps) == mine.out_channels
    assert tuple(64 // m.shape[2] for m in maps) == mine.strides == (4, 8, 16, 32)


def test_out_indices_and_norm():
    backbone = ResNet(18, out_indices=(2, 0), norm="SyncBN")
    first, third = backbone.eval()(torch.randn(1, 3, 64, 64))
    assert (first.shape[1], third.shape[1]) == backbone.out_channels == (64, 256)
    assert isinstance(backbone.bn1, SyncBatchNorm2d)
    assert isinstance(ResNet(18, norm="GN").layer1[0].bn1, nn.GroupNorm)


def test_zero_init_residual():
    assert (ResNet(18, zero_init_residual=True).layer1[0].bn2.weight == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 19}, "no depth 19"),
        ({"depth": 18, "norm": "BM"}, "Did you mean 'BN'"),
        ({"depth": 18, "out_indices": (4,)}, "out_indices"),
    ],
)
def test_resnet_refuses(options, message):
    with pytest.raises(DenseCLError, match=message):
        ResNet(**options)


def test_missing_shape_is_found_without_touching_statistics():
    backbone = build_backbone({"type": "TwoConvolutions"})
    assert (backbone.out_channels, backbone.strides) == ((32, 64), (4, 8))
    assert backbone.training
    assert torch.equal(backbone.first[1].running_mean, torch.zeros(32))


def test_unknown_type_is_named():
    assert learners.QUEUE  # the module registers TwoConvolutions
    with pytest.raises(DenseCLError, match="NoSuchNet"):
        build_backbone({"type": "NoSuchNet"})
