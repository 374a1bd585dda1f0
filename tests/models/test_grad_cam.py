"""Grad-CAM of a pair of images on every kind of backbone."""

import pytest
import torch
from torch.nn.functional import cosine_similarity, relu

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.models.backbones import build_backbone
from dense_cl.models.grad_cam import pair_grad_cam, stage_number

RESNETS = {
    "ours": dict(type="ResNet", depth=18),
    "timm": dict(type="TimmBackbone", model_name="resnet10t"),
    "mmdet": dict(type="mmdet.ResNet", depth=18),
}
IMAGES = torch.randn(2, 3, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def frozen(cfg):
    return FrozenBackbone.wrap(build_backbone(cfg)).module


@pytest.mark.parametrize("kind", RESNETS)
def test_last_map_has_a_closed_form(kind):
    """The gradient of the cosine of averages is the same at every place."""
    backbone = frozen(RESNETS[kind]).double()
    query, key = IMAGES.double()
    maps, others = backbone(query)[-1], backbone(key)[-1]
    q, k = maps.mean(dim=(2, 3)), others.mean(dim=(2, 3))
    cosine = cosine_similarity(q, k)[:, None]
    slope = (k / k.norm(dim=1, keepdim=True) - cosine * q / q.norm(dim=1, keepdim=True)) / q.norm(
        dim=1, keepdim=True
    )
    expected = relu(torch.einsum("bc,bchw->bhw", slope / maps[0, 0].numel(), maps))
    found = pair_grad_cam(backbone, query, key)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-15)
    assert found.max() > 0


@pytest.mark.parametrize("kind", RESNETS)
def test_an_earlier_layer_by_name(kind):
    """A place has what a little more of its features, everywhere, would add to the score."""
    backbone = frozen(RESNETS[kind]).double()
    assert (stage_number(backbone, "layer3"), stage_number(backbone, 0)) == (-2, -4)
    query, key = IMAGES.double()
    found = pair_grad_cam(backbone, query, key, "layer3")
    assert found.shape == (3, 4, 6)
    deepest = backbone.model.layer4 if kind == "timm" else backbone.layer4
    maps, k = backbone(query)[-2], backbone(key)[-1].mean(dim=(2, 3))

    def score(changed):
        return cosine_similarity(deepest(changed).mean(dim=(2, 3)), k)

    for place in ((0, 0), (1, 4), (3, 5)):
        more = 1e-7 * maps[:, :, place[0], place[1], None, None] / maps[0, 0].numel()
        slope = (score(maps + more) - score(maps - more)) / 2e-7
        expected = relu(slope)
        torch.testing.assert_close(found[:, place[0], place[1]], expected, rtol=1e-4, atol=1e-8)


def test_images_from_inference_mode_and_without_gradients():
    backbone = frozen(RESNETS["ours"])
    expected = pair_grad_cam(backbone, *IMAGES)
    with torch.inference_mode():
        query, key = IMAGES * 1
    with torch.no_grad():
        assert torch.equal(pair_grad_cam(backbone, query, key), expected)


def test_what_cannot_work_is_refused():
    transformer = frozen(dict(type="TimmBackbone", model_name="vit_tiny_patch16_224"))
    assert pair_grad_cam(transformer, *IMAGES).shape == (3, 4, 6)
    with pytest.raises(DenseCLError, match="does not depend on this map.*Choose another layer"):
        pair_grad_cam(transformer, *IMAGES, layer="blocks.10")
    with pytest.raises(DenseCLError, match="no map of layer 'layr4'. Did you mean 'layer4'"):
        stage_number(frozen(RESNETS["ours"]), "layr4")
    with pytest.raises(DenseCLError, match="no map of layer 4. .*-4 to 3"):
        stage_number(frozen(RESNETS["mmdet"]), 4)


@pytest.mark.parametrize("given", [{}, dict(norm_eval=True)])
def test_batch_norm_of_mmdetection_is_trained(given):
    """Its default keeps statistics fixed, which random weights would never get otherwise."""
    backbone = build_backbone(dict(type="mmdet.ResNet", depth=18, **given))
    backbone.train()
    backbone(torch.randn(2, 3, 64, 64))
    assert (backbone.bn1.num_batches_tracked == 0) == bool(given)
