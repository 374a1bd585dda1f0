"""CAST's attention objective in the learner: the masked pass, the second derivative, backbones."""

import copy
from dataclasses import replace

import pytest
import torch
from learners import IMAGE_METHODS, attention, begin, build_learner, info_nce, random_data
from mmengine.optim import OptimWrapper
from torch import nn

from dense_cl.engine.amp import AutocastOptimWrapper
from dense_cl.errors import DenseCLError
from dense_cl.models import Learner

BACKBONES = {
    "ours": dict(type="ResNet", depth=18),
    "timm": dict(type="TimmBackbone", model_name="resnet10t"),
    "mmdet": dict(type="mmdet.ResNet", depth=18, norm_eval=False),
}


def prepared(learner, batch=5, **options):
    """Preprocessed views of a batch, for ``learner.encode`` and ``learner.forward``."""
    data = random_data(batch, **options)
    begin(learner, data)
    return learner.data_preprocessor(data, True)


def slope_along(directions, value, step):
    """Return the central difference of ``value()`` as parameters move along directions."""
    found = []
    for sign in (1, -1):
        with torch.no_grad():
            for parameter, direction in directions.items():
                parameter.add_(direction, alpha=sign * step)
        found.append(value().detach())
        with torch.no_grad():
            for parameter, direction in directions.items():
                parameter.add_(direction, alpha=-sign * step)
    return (found[0] - found[1]) / (2 * step)


@pytest.mark.parametrize("method", ["info_nce", "simclr"])
def test_the_masked_key_goes_through_the_encoder_of_the_keys(method):
    objective = {"info_nce": info_nce(), **IMAGE_METHODS}[method]
    learner = build_learner(objective, attention())
    data = prepared(learner)
    by = "target" if method == "info_nce" else "online"
    with torch.no_grad():  # the two encoders differ from now on
        for parameter in learner.backbone.parameters():
            parameter.add_(0.1)
    network = learner.target.network if by == "target" else learner.backbone
    reference = copy.deepcopy(network)
    features = learner.encode(**data)
    assert list(features.masked) == [(by, 1)]
    view = data["views"][1]
    salient = view.saliency.clone()
    salient[1] = True  # shows nothing salient, and is left as it is
    expected = reference(view.image * salient[:, None])[-1]
    masked = features.masked[by, 1]
    torch.testing.assert_close(masked.last, expected.detach())
    assert not masked.last.requires_grad
    assert torch.equal(masked.view.saliency, view.saliency)


@pytest.mark.parametrize("method", ["info_nce", *IMAGE_METHODS])
def test_attention_leaves_no_trace_but_its_gradient(method):
    """Neither a parameter nor a statistic is added or changed by it."""
    objective = {"info_nce": info_nce(), **IMAGE_METHODS}[method]
    plain = build_learner(objective)
    plain_data = prepared(plain)
    expected = plain(**plain_data)
    try:
        learner = build_learner(objective, attention())
    except DenseCLError as error:
        assert "has none: such losses are of a whole batch" in str(error)
        return
    losses = learner(**prepared(learner))
    assert learner.state_dict().keys() == plain.state_dict().keys()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(learner.state_dict()[name], value, rtol=0, atol=0, msg=name)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=0, atol=0, msg=name)


def test_the_target_moves_once_a_step():
    learner = build_learner(info_nce(), attention())
    before = copy.deepcopy(learner.target.network.state_dict())
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=0.1))
    learner.train_step(random_data(5), wrapper)
    for name, parameter in learner.backbone.named_parameters():
        moved = learner.target.network.get_parameter(name)
        torch.testing.assert_close(moved, before[name] + 0.1 * (parameter - before[name]))


@pytest.mark.parametrize("method", ["info_nce", "simclr", "moco_v3", "byol", "simsiam"])
@pytest.mark.parametrize("layer", [-1, 0])
def test_its_gradient_is_that_of_its_value(method, layer):
    """Of backbone and head, along a random direction; the keys are constants."""
    objective = {"info_nce": info_nce(), **IMAGE_METHODS}[method]
    learner = build_learner(objective, attention(layer=layer))
    data = prepared(learner)
    explained, own = (o for _, o in learner.named_objectives())
    features = learner.encode(**data)
    frozen = features.masked[own.masked_views[0]]
    with torch.no_grad():
        key = explained.key(frozen)
    explained.key = lambda _: key  # else SimCLR's head would make it from what is varied
    directions = {p: torch.randn_like(p) for p in learner.parameters() if p.requires_grad}
    gradients = torch.autograd.grad(own(features).loss, list(directions), allow_unused=True)
    pairs = zip(gradients, directions.values(), strict=True)
    slope = sum((gradient * d).sum() for gradient, d in pairs if gradient is not None)

    def value():
        return own(replace(learner.encode(**data), masked=features.masked)).loss

    numeric = slope_along(directions, value, 1e-6)
    torch.testing.assert_close(slope, numeric, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("layer", ["layer4", "layer3"])
def test_activations_in_place_change_nothing(kind, layer):
    """The released code lost its ReLU to an operation in place; ResNets are full of them."""
    gradients = []
    for in_place in (True, False):
        torch.manual_seed(0)
        learner = Learner(
            backbone=BACKBONES[kind],
            objectives=[info_nce(), attention(layer=layer)],
            target={"ema_decay": 0.9},
        )
        activations = [m for m in learner.backbone.modules() if isinstance(m, nn.ReLU)]
        assert activations and all(activation.inplace for activation in activations)
        for activation in activations:
            activation.inplace = in_place
        data = prepared(learner, batch=3, size=64)
        learner(**data)["loss_grad_cam_attention"].backward()
        gradients.append(torch.cat([p.grad.flatten() for p in learner.backbone.parameters()]))
    assert gradients[0].abs().max() > 1e-3
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layer", [-1, 0])
def test_bfloat16_autocast(layer):
    full = build_learner(info_nce(), attention(layer=layer)).float()
    data = prepared(full, batch=8)
    full(**data)["loss_grad_cam_attention"].backward()
    half = build_learner(info_nce(), attention(layer=layer)).float()
    wrapper = AutocastOptimWrapper(optimizer=torch.optim.SGD(half.parameters(), lr=0.1))
    with wrapper.optim_context(half):
        terms = half(**data)
    terms["loss_grad_cam_attention"].backward()
    assert terms["loss_grad_cam_attention"].dtype == torch.float32
    ours, theirs = (
        torch.cat([p.grad.flatten() for p in learner.backbone.parameters()])
        for learner in (half, full)
    )
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.95


def test_an_earlier_stage_needs_the_graph_and_says_so():
    data = random_data(5)
    kept = build_learner(info_nce(), attention(), norm="GN", chunk_size=2)
    kept(**kept.data_preprocessor(data, True))["loss_grad_cam_attention"].backward()
    cut = build_learner(info_nce(), attention(layer=0), norm="GN", chunk_size=2)
    with pytest.raises(DenseCLError, match="with chunk_size or joint views only the last map"):
        cut(**cut.data_preprocessor(data, True))
    joint = build_learner(info_nce(), attention(layer=0), IMAGE_METHODS["swav"])
    with pytest.raises(DenseCLError, match="with chunk_size or joint views only the last map"):
        joint(**prepared(joint))
    token = Learner(
        backbone=dict(
            type="TimmBackbone",
            model_name="vit_tiny_patch16_224",
            class_token=True,
            depth=1,
            out_indices=(0,),
        ),
        objectives=[info_nce(), attention()],
        target={"ema_decay": 0.9},
    )
    with pytest.raises(DenseCLError, match="A class token does not see the last map"):
        token(**token.data_preprocessor(random_data(2), True))


def test_two_attentions_explain_two_objectives():
    learner = build_learner(
        info_nce(), IMAGE_METHODS["simclr"], attention(), attention(of="simclr", layer=0)
    )
    losses = learner(**prepared(learner))
    alone = build_learner(IMAGE_METHODS["simclr"], info_nce(), attention(of="info_nce"))
    torch.manual_seed(0)
    assert losses["grad_cam_attention"] != losses["grad_cam_attention_2"]
    features = learner.encode(**prepared(learner))
    assert list(features.masked) == [("online", 1), ("target", 1)]
    (explained,) = alone.objectives["grad_cam_attention"]._explained
    assert explained is alone.objectives["info_nce"]


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ([info_nce(), attention(of="info_nc")], "no objective is called 'info_nc'. Did you mean"),
        ([info_nce(), attention(layer=2)], "no map of layer 2. A number from -2 to 1"),
        ([attention()], "The list has none.*Put InfoNCE"),
        ([IMAGE_METHODS["vicreg"], attention()], r"vicreg \(VICReg\) has none"),
        (
            [info_nce(), IMAGE_METHODS["swav"], attention(of="swav")],
            "swav has none: such losses are of a whole batch, of clusters",
        ),
    ],
)
def test_mistakes(objectives, message):
    with pytest.raises(DenseCLError, match=message):
        build_learner(*objectives)


def test_data_without_saliency_are_refused():
    learner = build_learner(info_nce(), attention())
    data = random_data(4)
    data["views"][1] = replace(data["views"][1], saliency=None)
    with pytest.raises(DenseCLError, match="grad_cam_attention looks at what is salient.*saliency"):
        learner(**learner.data_preprocessor(data, True))


def test_attention_learns_to_look():
    """Red squares on noise: some steps later Grad-CAM lies on them, in images it has not seen."""
    learner = build_learner(info_nce(), attention()).float()
    optimizer = torch.optim.Adam(learner.parameters(), lr=3e-3)
    wrapper = OptimWrapper(optimizer)

    def batch(seed):
        data = random_data(16, seed=seed)
        for number, view in enumerate(data["views"]):
            red = torch.where(view.saliency[..., None], torch.tensor([255, 0, 0]), view.image)
            data["views"][number] = replace(view, image=red.to(torch.uint8))
        return data

    def unseen():
        return float(learner(**learner.data_preprocessor(batch(1000), True))["grad_cam_attention"])

    before = unseen()
    for seed in range(40):
        learner.train_step(batch(seed), wrapper)
    assert unseen() < 0.5 * before
