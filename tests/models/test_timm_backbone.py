"""timm models as backbones: what they say of their maps is what they return."""

import pytest
import torch
from torch import nn

from dense_cl.errors import DenseCLError
from dense_cl.models import build_backbone
from dense_cl.models.backbones import TimmBackbone
from dense_cl.models.norm import SyncBatchNorm2d


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet10t", {}),
        ("resnet10t", dict(out_indices=(-1, 2))),
        ("mobilenetv3_small_050.lamb_in1k", {}),
        ("convnext_atto", {}),
        ("vit_tiny_patch16_224", dict(out_indices=(3, 11))),
        ("vit_tiny_patch16_224", dict(pyramid=True)),
        ("swin_tiny_patch4_window7_224", dict(depths=(1, 1, 1, 1))),
    ],
)
def test_maps_have_the_channels_and_strides_that_are_declared(name, options):
    backbone = TimmBackbone(name, **options)
    maps = backbone(torch.randn(2, 3, 64, 96))  # neither square nor the size it is named after
    expected = [
        (2, channels, -(-64 // stride), -(-96 // stride))
        for channels, stride in zip(backbone.out_channels, backbone.strides, strict=True)
    ]
    assert [tuple(stage.shape) for stage in maps] == expected
    sum(stage.square().sum() for stage in maps).backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def test_resampling_keeps_a_constant_map_and_adds_no_parameters():
    plain = TimmBackbone("vit_tiny_patch16_224")
    pyramid = TimmBackbone("vit_tiny_patch16_224", pyramid=True)
    assert plain.state_dict().keys() == pyramid.state_dict().keys()
    pyramid.model.forward_intermediates = lambda image, **_: [torch.full((1, 8, 3, 4), 2.5)] * 4
    for stage in pyramid(torch.zeros(1, 3, 48, 64)):
        assert torch.equal(stage, torch.full_like(stage, 2.5))


def test_synchronised_batch_norm_keeps_names_and_numbers():
    plain = TimmBackbone("skresnet18").eval()
    synchronised = TimmBackbone("skresnet18", sync_bn=True).eval()
    layers = [m for m in synchronised.modules() if isinstance(m, nn.BatchNorm2d)]
    assert layers and all(isinstance(layer, SyncBatchNorm2d) for layer in layers)
    synchronised.load_state_dict(plain.state_dict(), strict=True)
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(synchronised(image)[-1], plain(image)[-1])
    assert any(isinstance(layer.act, nn.ReLU) for layer in layers)  # of the selective kernels


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(model_name="resnet10"), "no model 'resnet10'. Did you mean 'resnet10t'"),
        (dict(model_name="resnet10t", blocks=3), "refuses {'blocks': 3}.*unexpected keyword"),
        (dict(model_name="resnet10t", out_indices=(9,)), r"has 5 levels; out_indices \[9\]"),
        (dict(model_name="vgg11", out_indices=(1, 2), pyramid=True), "needs four levels"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(DenseCLError, match=message):
        TimmBackbone(**arguments)


def test_a_size_that_the_model_refuses_is_named():
    backbone = build_backbone(dict(type="TimmBackbone", model_name="vit_tiny_patch16_224"))
    message = r"'vit_tiny_patch16_224' refuses images of 50x48 pixels: .*another size \(--size\)"
    with pytest.raises(DenseCLError, match=message):
        backbone(torch.zeros(1, 3, 50, 48))


def test_an_option_that_a_backbone_lacks_is_named():
    with pytest.raises(DenseCLError, match="unexpected keyword argument 'depht'"):
        build_backbone(dict(type="ResNet", depht=18))
