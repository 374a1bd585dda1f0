"""ResNet keeps torchvision's weights and numbers; other backbones are measured."""

import learners
import pytest
import torch
import torchvision
from torch import nn

from dense_cl.errors import DenseCLError
from dense_cl.models.backbones import ResNet, build_backbone
from dense_cl.models.norm import SyncBatchNorm2d
from dense_cl.models.standardized import StandardizedConv2d


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


def test_standardized_weights_are_mmcvs():
    """The same weights under the same names compute what MMDetection's ConvWS models do."""
    from dense_cl.transfer.mmcv_ops import ensure

    ensure()
    from mmcv.cnn.bricks.conv_ws import ConvWS2d

    mine = ResNet(18, norm="GN", standardize_weights=True)
    plain = ResNet(18, norm="GN")
    assert mine.state_dict().keys() == plain.state_dict().keys()
    convolutions = [m for m in mine.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 20 and all(type(m) is StandardizedConv2d for m in convolutions)
    conv = mine.layer2[0].conv1
    theirs = ConvWS2d(64, 128, 3, 2, 1, bias=False)
    theirs.load_state_dict(conv.state_dict())
    image = torch.randn(1, 64, 8, 8)
    torch.testing.assert_close(conv(image), theirs(image))
    expected = conv(image)
    with torch.no_grad():
        conv.weight.mul_(3).add_(0.5)  # what standardisation takes out
    torch.testing.assert_close(conv(image), expected, rtol=1e-3, atol=1e-4)


def test_group_norm_and_standardized_weights_see_no_other_image():
    """Without batch statistics an image's features do not depend on its batch."""
    backbone = ResNet(18, norm="GN", standardize_weights=True).double()
    image = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    alone = backbone(image[:1])[-1]
    torch.testing.assert_close(backbone(image)[-1][:1], alone, rtol=1e-9, atol=1e-12)


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
