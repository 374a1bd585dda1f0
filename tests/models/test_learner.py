"""The Learner: what it returns, who gets gradients, when the EMA and the banks move."""

import copy
from dataclasses import replace

import pytest
import torch
from learners import QUEUE, build_learner, dense_info_nce, images_of, info_nce, random_data
from mmengine.optim import OptimWrapper

from dense_cl.errors import DenseCLError
from dense_cl.models.correspondence import CorrespondenceProvider
from dense_cl.models.learner import snake_case
from dense_cl.objectives import InfoNCE

WARM_UP = {"kind": "step", "before": 0.0, "after": 0.5, "at": 1}


def densecl(**options):
    return build_learner(info_nce(weight=0.5), dense_info_nce(weight=WARM_UP), **options)


def sgd(learner, lr=0.05, **options):
    return OptimWrapper(torch.optim.SGD(learner.parameters(), lr=lr, momentum=0.9), **options)


def losses_of(learner, data):
    return learner(**learner.data_preprocessor(data, True), mode="loss")


def copy_state(learner):
    return {name: value.clone() for name, value in learner.state_dict().items()}


def test_terms_are_weighted_and_sum_to_the_loss():
    learner = densecl()
    terms = losses_of(learner, random_data(3))
    total, logged = learner.parse_losses(terms)
    assert terms["loss_info_nce"] == 0.5 * terms["info_nce"]
    assert terms["loss_dense_info_nce"] == 0 and terms["dense_info_nce"] > 0  # warm-up
    torch.testing.assert_close(total, terms["loss_info_nce"] + terms["loss_dense_info_nce"])
    assert {"feature_std", "effective_rank", "info_nce_queue_accuracy"} <= set(logged)
    learner.step += 1
    terms = losses_of(learner, random_data(3))
    assert terms["loss_dense_info_nce"] == 0.5 * terms["dense_info_nce"]
    assert "effective_rank" not in terms


def test_how_crops_came_about_is_logged_but_no_loss():
    learner = densecl()
    data = random_data(4)
    tries = torch.tensor([1, 3, 0, -1])
    data["views"] = [replace(view, crop_tries=tries) for view in data["views"]]
    total, logged = learner.parse_losses(losses_of(learner, data))
    kinds = ("first_try", "retry", "constructed", "unconstrained")
    assert [float(logged[f"crop_{kind}"]) for kind in kinds] == [0.25] * 4
    torch.testing.assert_close(total, logged["loss_info_nce"] + logged["loss_dense_info_nce"])


def test_forward_changes_nothing_but_batch_norm():
    learner = densecl()
    before = copy_state(learner)
    losses_of(learner, random_data(3))
    changed = {n for n, v in learner.state_dict().items() if not torch.equal(v, before[n])}
    assert changed and all(
        n.rpartition(".")[2].startswith(("running_", "num_batches")) for n in changed
    )


def test_online_gets_gradients_and_the_target_none():
    learner = densecl()
    learner.step += 1  # after the warm-up
    total, _ = learner.parse_losses(losses_of(learner, random_data(3)))
    total.backward()
    for name, parameter in learner.named_parameters():
        if name.startswith("target.") or ".target_head." in name:
            assert parameter.grad is None and not parameter.requires_grad, name
        else:
            assert parameter.grad.abs().sum() > 0, name


def test_matching_sends_no_gradient_to_the_backbone():
    """Gradients are those of the same matches given as constants."""

    class Constant(CorrespondenceProvider):
        def forward(self, *_):
            return match

    learner = build_learner(dense_info_nce())
    objective = learner.objectives["dense_info_nce"]
    bundle = learner.encode(learner.data_preprocessor(random_data(2), True)["views"])
    features = bundle.online[0].last
    grid = features.shape[2:]
    match = objective.correspondence(bundle.online[0], bundle.target[1], grid, grid)
    (mine,) = torch.autograd.grad(objective(bundle).loss, features, retain_graph=True)
    objective.correspondence = Constant()
    (expected,) = torch.autograd.grad(objective(bundle).loss, features)
    assert torch.equal(mine, expected) and mine.abs().sum() > 0


def test_only_the_stages_asked_for_are_kept(monkeypatch):
    learner = densecl()
    views = learner.data_preprocessor(random_data(2), True)["views"]
    assert [len(f.stages) for f in learner.encode(views).target.values()] == [1]
    monkeypatch.setattr(InfoNCE, "num_stages", 2)
    learner = densecl()
    assert [f.stages[-2].shape[1] for f in learner.encode(views).online.values()] == [32]


def test_keys_come_from_the_target_network_alone():
    data = random_data(3)
    keys = {}
    for changed in ("nothing", "target", "backbone"):
        learner = densecl()
        with torch.no_grad():
            if changed == "target":
                learner.target.network.second[0].weight.mul_(-1)
            if changed == "backbone":
                learner.backbone.second[0].weight.mul_(-1)
        losses_of(learner, data)
        learner.after_train_step(optimizer_stepped=False)
        keys[changed] = [learner.objectives[n].bank.keys[:3].clone() for n in learner.objectives]
    for untouched, target, backbone in zip(*keys.values(), strict=True):
        assert torch.equal(untouched, backbone)
        assert not torch.allclose(untouched, target)


def test_ema_moves_once_per_optimiser_step_and_banks_every_iteration():
    learner = densecl()
    wrapper = sgd(learner, accumulative_counts=2)
    start = {n: p.clone() for n, p in learner.target.network.named_parameters()}
    head_start = learner.objectives["info_nce"].target_head.network.layers[0].weight.clone()
    for iteration in range(2):
        assert int(learner.step) == 0
        for name, parameter in learner.target.network.named_parameters():
            assert torch.equal(parameter, start[name])
        learner.train_step(random_data(3, seed=iteration), wrapper)
        assert int(learner.objectives["info_nce"].bank.pointer) == 3 * (iteration + 1)
    assert int(learner.step) == 1
    for name, online in learner.backbone.named_parameters():
        averaged = learner.target.network.get_parameter(name)
        torch.testing.assert_close(averaged.data, 0.9 * start[name] + 0.1 * online.data)
    objective = learner.objectives["info_nce"]
    expected = 0.9 * head_start + 0.1 * objective.head.layers[0].weight.data
    torch.testing.assert_close(objective.target_head.network.layers[0].weight.data, expected)


def test_state_dict_names_every_tensor_once():
    learner = densecl()
    owners: dict[int, str] = {}
    for name, value in learner.state_dict().items():
        assert value.data_ptr() not in owners, (name, owners[value.data_ptr()])
        owners[value.data_ptr()] = name
    prefixes = {name.split(".")[0] for name in owners.values()}
    assert prefixes == {"step", "backbone", "target", "objectives"}


def test_resumed_training_is_bit_identical():
    data = [random_data(3, seed=s) for s in range(4)]
    straight = densecl()
    wrapper = sgd(straight)
    for batch in data[:2]:
        straight.train_step(batch, wrapper)
    resumed = densecl()
    resumed.load_state_dict(copy_state(straight))
    resumed_wrapper = sgd(resumed)
    resumed_wrapper.load_state_dict(copy.deepcopy(wrapper.state_dict()))
    for batch in data[2:]:
        straight.train_step(batch, wrapper)
        resumed.train_step(batch, resumed_wrapper)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.parametrize("provider", ["FeatureArgmax", "MutualNearest", "GeometricNearest"])
@pytest.mark.parametrize("grid_size", [None, 3])
def test_learns_to_tell_a_few_images_apart(provider, grid_size):
    """Four images against a queue of two older keys of each.

    Features that tell nothing apart score ln 9; perfect ones still meet the image's own two older
    keys, about ln 3. The same run gives the same numbers.
    """
    histories = []
    for _ in range(2):
        objective = dense_info_nce(provider, grid_size=grid_size, queue_size=8)
        learner = build_learner(info_nce(queue_size=8), objective)
        data = random_data(4)
        data["views"][1] = data["views"][0]
        wrapper = sgd(learner)
        terms = [learner.train_step(data, wrapper) for _ in range(40)]
        histories.append([float(term["info_nce"].detach()) for term in terms])
    assert histories[0] == histories[1]
    confused, final = max(histories[0][2:]), histories[0][-1]
    assert confused > 1.6 and final < 1.2


def test_views_that_share_nothing_contribute_exactly_nothing():
    learner = build_learner(dense_info_nce("GeometricNearest"))
    data = random_data(2)
    data["views"][1].matrix[:, :, 2] += 1000
    terms = losses_of(learner, data)
    terms["loss_dense_info_nce"].backward()
    assert terms["loss_dense_info_nce"] == 0 and terms["dense_info_nce_matched"] == 0
    assert all((p.grad == 0).all() for p in learner.backbone.parameters())


def test_batch_larger_than_the_queue():
    learner = densecl()
    learner.train_step(random_data(QUEUE + 3), sgd(learner))
    bank = learner.objectives["info_nce"].bank
    assert int(bank.filled) == QUEUE and int(bank.pointer) == 3


def test_tensor_mode_gives_the_stage_maps_of_the_first_view():
    learner = densecl().eval()
    data = learner.data_preprocessor(images_of(random_data(3), 0, 2), False)
    first, second = learner(**data, mode="tensor")
    assert first.shape == (2, 32, 8, 8) and second.shape == (2, 64, 4, 4)
    torch.testing.assert_close(second, learner.backbone(data["views"][0].image)[1])


def test_two_objectives_of_a_kind_get_two_names():
    learner = build_learner(info_nce(), info_nce(temperature=0.1))
    terms = losses_of(learner, random_data(2))
    assert {"loss_info_nce", "loss_info_nce_2"} <= set(terms)


def test_preprocessor_normalises_rgb_bytes_and_keeps_channels_last():
    learner = densecl()
    data = random_data(2)
    image = learner.data_preprocessor(data, True)["views"][0].image
    mean = torch.tensor([123.675, 116.28, 103.53], dtype=torch.float64)
    std = torch.tensor([58.395, 57.12, 57.375], dtype=torch.float64)
    expected = ((data["views"][0].image.double() - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(image, expected, rtol=1e-6, atol=1e-6)  # constants are float32
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert learner.backbone.second[0].weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": None}, "target=dict"),
        ({"target": {"ema_decay": {"kind": "cosin", "start": 0, "end": 1}}}, "Did you mean"),
    ],
)
def test_refuses_to_be_built(change, message):
    with pytest.raises(DenseCLError, match=message):
        build_learner(info_nce(), **change)


def test_refuses_an_empty_list_of_objectives():
    with pytest.raises(DenseCLError, match="objectives is empty"):
        build_learner()


def test_refuses_data_that_cannot_be_used():
    learner = densecl()
    with pytest.raises(DenseCLError, match="need 2 views of every image, the data give 1"):
        losses_of(learner, random_data(2, views=1))
    with pytest.raises(DenseCLError, match="no readable image"):
        losses_of(learner, random_data(2, views=0))
    with pytest.raises(DenseCLError, match="no mode 'predict'"):
        learner(**learner.data_preprocessor(random_data(2), True), mode="predict")


def test_snake_case():
    names = ("InfoNCE", "DenseInfoNCE", "GradCAMAttention", "BYOL")
    assert [snake_case(n) for n in names] == [
        "info_nce", "dense_info_nce", "grad_cam_attention", "byol",
    ]  # fmt: skip
