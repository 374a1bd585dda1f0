"""MoCo v3's transformer: fixed parts, class token, names and numbers of timm."""

import math

import pytest
import timm
import torch
from learners import IMAGE_METHODS, random_data
from mmengine.optim import OptimWrapper

from dense_cl.errors import DenseCLError
from dense_cl.models import Learner, build_backbone
from dense_cl.models.backbones import MoCoV3ViT, TimmBackbone, image_vectors
from dense_cl.models.backbones.moco_v3_vit import sincos_positions

SMALL = dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2)
NAME = "vit_tiny_patch16_224"


def test_positions_closed_form():
    table = sincos_positions(rows=2, columns=3, channels=8)
    for row in range(2):
        for column in range(3):
            expected = []
            for place in (row, column):
                angles = [place, place / 100.0]  # 10000^(-1/2) = 1/100
                expected += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
            torch.testing.assert_close(table[3 * row + column], torch.tensor(expected))


def test_fixed_parts_and_initialisation():
    model = MoCoV3ViT(NAME, **SMALL).model
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}
    assert torch.equal(model.pos_embed[0, 0], torch.zeros(32))
    torch.testing.assert_close(model.pos_embed[0, 1:], sincos_positions(4, 4, 32))
    bounds = {
        "patch_embed.proj.weight": math.sqrt(6 / (3 * 8 * 8 + 32)),
        "blocks.0.attn.qkv.weight": math.sqrt(6 / (32 + 32)),
        "blocks.0.mlp.fc1.weight": math.sqrt(6 / (32 + 128)),
    }
    for name, bound in bounds.items():
        largest = model.get_parameter(name).abs().max()
        assert 0.95 * bound < largest <= bound, name
    assert not model.patch_embed.proj.bias.any()
    learnt = MoCoV3ViT(NAME, freeze_patch_embed=False, **SMALL).model
    assert learnt.patch_embed.proj.weight.requires_grad and not learnt.pos_embed.requires_grad


def test_exported_names_and_numbers_are_timms():
    backbone = MoCoV3ViT(NAME, **SMALL).eval()
    theirs = timm.create_model(NAME, num_classes=0, **SMALL).eval()
    weights = {k.removeprefix("model."): v for k, v in backbone.state_dict().items()}
    theirs.load_state_dict(weights, strict=True)
    image = torch.randn(2, 3, 32, 32)
    tokens_BNC = theirs.forward_features(image)
    torch.testing.assert_close(image_vectors(backbone, image), tokens_BNC[:, 0])
    torch.testing.assert_close(backbone(image)[-1].flatten(2), tokens_BNC[:, 1:].transpose(1, 2))
    *maps, token = backbone(image, with_token=True)
    torch.testing.assert_close(token, tokens_BNC[:, 0])
    assert [m.shape for m in maps] == [m.shape for m in backbone(image)]


def test_every_learnt_parameter_serves_maps_and_token_alike():
    """Detectors use the maps only, and may not leave a parameter without a gradient."""
    for output in (lambda b, x: image_vectors(b, x), lambda b, x: b(x)[-1]):
        backbone = MoCoV3ViT(NAME, **SMALL)
        output(backbone, torch.randn(1, 3, 32, 32)).square().sum().backward()
        wanting = [n for n, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
        assert wanting == []


def test_without_class_token_vectors_are_averages():
    backbone = build_backbone(dict(type="TimmBackbone", model_name=NAME, **SMALL))
    image = torch.randn(2, 3, 32, 32)
    expected = backbone(image)[-1].mean(dim=(2, 3))
    torch.testing.assert_close(image_vectors(backbone, image), expected)


def test_learner_trains_from_the_token_and_leaves_the_fixed_parts_bit_identical():
    method = IMAGE_METHODS["moco_v3"]
    backbone = dict(type="MoCoV3ViT", model_name=NAME, **SMALL)
    learner = Learner(backbone=backbone, objectives=[method], target=dict(ema_decay=0.9))
    fixed = ("model.pos_embed", "model.patch_embed.proj.weight", "model.patch_embed.proj.bias")
    before = {name: learner.backbone.get_parameter(name).clone() for name in fixed}
    start = learner.backbone.get_parameter("model.blocks.0.mlp.fc1.weight").clone()
    wrapper = OptimWrapper(torch.optim.AdamW(learner.parameters(), lr=1e-3, weight_decay=0.1))
    data = random_data(8)
    losses = [float(learner.train_step(data, wrapper)["moco_v3"]) for _ in range(12)]
    assert losses[-1] < losses[0]
    for name, value in before.items():
        assert torch.equal(learner.backbone.get_parameter(name), value), name
        assert torch.equal(learner.target.network.get_parameter(name), value), name
    assert not torch.equal(learner.backbone.get_parameter("model.blocks.0.mlp.fc1.weight"), start)

    prepared = learner.data_preprocessor(data, True)
    view = learner.eval().encode(prepared["views"]).online[0]
    assert torch.equal(view.pooled, view.token)
    torch.testing.assert_close(view.token, image_vectors(learner.backbone, view.view.image))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TimmBackbone("resnet10t", class_token=True), "needs a model with a class token"),
        (lambda: MoCoV3ViT(NAME, out_indices=(0,), **SMALL), "its last level"),
        (lambda: MoCoV3ViT(NAME, reg_tokens=2, **SMALL), "no plain vision transformer"),
        (lambda: MoCoV3ViT("resnet10t"), "refuses .*weight_init"),
    ],
)
def test_refusals(build, message):
    with pytest.raises(DenseCLError, match=message):
        build()
