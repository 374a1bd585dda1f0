"""DetCon, SlotCon and Leopart as objectives: what they look at, learn from, remember and refuse."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from learners import IMAGE_METHODS, begin, build_learner, info_nce, random_data
from mmengine.optim import OptimWrapper
from region_learners import REGION_METHODS, region_data

from dense_cl.engine.state import _heads
from dense_cl.errors import DenseCLError
from dense_cl.losses.sinkhorn import sinkhorn
from dense_cl.models.overlap import OverlapGrid
from dense_cl.objectives.region.cell_queue import choose_cells
from dense_cl.objectives.region.draw import sample_regions
from dense_cl.registry import OBJECTIVES

IMAGE = {**IMAGE_METHODS, "info_nce": info_nce()}


def build(name, **options):
    learner = build_learner({**REGION_METHODS[name], **options})
    begin(learner, region_data(8))
    return learner, learner.objectives[name]


def losses_of(learner, data):
    return learner(**learner.data_preprocessor(data, True))


def encoded(learner, data):
    return learner.encode(**learner.data_preprocessor(data, True))


@pytest.mark.parametrize("name", REGION_METHODS)
def test_learns_and_every_online_parameter_gets_a_gradient(name):
    learner, _ = build(name)
    losses = losses_of(learner, region_data(8))
    losses[f"loss_{name}"].backward()
    for parameter_name, parameter in learner.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, parameter_name
    learner.zero_grad()
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=0.05, momentum=0.9))
    data = region_data(8)
    history = [learner.train_step(data, wrapper) for _ in range(30)]
    assert history[-1][name] < history[0][name]
    assert history[-1]["feature_std"] > 0.5 * history[0]["feature_std"]


@pytest.mark.parametrize("name", REGION_METHODS)
def test_an_earlier_stage_leaves_the_later_one_alone(name):
    learner, _ = build(name, stage=-2)
    losses_of(learner, region_data(8))[f"loss_{name}"].backward()
    touched = {
        n.rsplit(".", 2)[0] for n, p in learner.backbone.named_parameters() if p.grad is not None
    }
    assert touched == {"first"}


@pytest.mark.parametrize("name", ["detcon_s", "detcon_b"])
def test_detcon_logs_which_regions_get_lost(name):
    data = region_data(4)
    maps = torch.zeros(2, 4, 32, 32, dtype=torch.int16)
    maps[0, :, :, 16:] = 1  # the right half of the first view is a region that the second has not
    maps[1, 0] = -1  # and of the first image the second view shows no region at all
    for number, view in enumerate(data["views"]):
        regions = replace(view.regions, label_map=maps[number])
        data["views"][number] = replace(view, regions=regions)
    learner, _ = build(name)
    losses = losses_of(learner, data)
    # Of the 8 regions in the first view 2 + 3 are not in the second; all 3 there are in the first.
    assert losses[f"{name}_drop_rate"].item() == pytest.approx((5 / 8 + 0) / 2)
    assert losses[f"{name}_without_regions"].item() == pytest.approx(1 / 8)


@pytest.mark.parametrize("name", REGION_METHODS)
def test_both_directions_count(name):
    """Swapping the views leaves the loss as it is, but for which regions DetCon draws."""
    options = {"num_regions": 400} if name.startswith("detcon") else {}
    learner = build_learner({**REGION_METHODS[name], **options}, norm="GN")
    data = region_data(8)
    forth = losses_of(learner, data)[name]
    back = losses_of(learner, {**data, "views": data["views"][::-1]})[name]
    torch.testing.assert_close(back, forth, rtol=2e-2 if options else 1e-9, atol=0)


@pytest.mark.parametrize("name", ["detcon_b", "slotcon", "leopart"])
def test_keys_come_from_the_target_networks(name):
    learner, objective = build(name)
    data = region_data(8)
    before = losses_of(learner, data)[name]
    networks = ["target_head"] + ["target_prototypes"] * (name != "detcon_b")
    for network in networks:
        parameters = list(getattr(objective, network).parameters())
        kept = [p.clone() for p in parameters]
        with torch.no_grad():
            for parameter in parameters:
                parameter.add_(torch.randn_like(parameter))
            assert not torch.isclose(losses_of(learner, data)[name], before), network
            for parameter, old in zip(parameters, kept, strict=True):
                parameter.copy_(old)


@pytest.mark.parametrize("name", REGION_METHODS)
def test_the_forward_pass_leaves_no_trace(name):
    learner, objective = build(name)
    before = {
        n: b.clone()
        for n, b in objective.named_buffers()
        if "running" not in n and "num_batches" not in n
    }
    losses_of(learner, region_data(8))
    after = dict(objective.named_buffers())
    assert all(torch.equal(after[n], b) for n, b in before.items())


@pytest.mark.parametrize(("image", "region"), list(itertools.product(IMAGE, REGION_METHODS)))
def test_combines_with_any_image_level_objective(image, region):
    learner = build_learner(
        {**IMAGE[image], "weight": 0.5}, {**REGION_METHODS[region], "weight": 2}
    )
    data = region_data(8)
    begin(learner, data)
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=0.01))
    terms = learner.train_step(data, wrapper)
    torch.testing.assert_close(terms["loss"].detach(), 0.5 * terms[image] + 2 * terms[region])


@pytest.mark.parametrize("name", REGION_METHODS)
def test_heads_of_cells_are_not_described_as_heads_of_images(name):
    """They may expect other channels than the vector of an image has."""
    learner, _ = build(name, stage=-2)
    assert _heads(SimpleNamespace(learner=learner)) == {}


# DetCon


def test_draws_are_uniform_over_what_is_there_and_repeat():
    owner = torch.tensor([[3, 3, 3, 7, -1, 0], [-1] * 6, [5] * 6])
    draws = torch.rand(3, 30_000)
    ids = sample_regions(owner, draws)
    share = ids[0].bincount(minlength=8) / ids.shape[1]
    assert share[[1, 2, 4, 5, 6]].sum() == 0
    torch.testing.assert_close(share[[0, 3, 7]], torch.full((3,), 1 / 3), atol=0.02, rtol=0)
    assert (ids[1] == -1).all() and (ids[2] == 5).all()
    assert torch.equal(sample_regions(owner, draws), ids)
    ends = sample_regions(owner, torch.tensor([[0.0, 1 - 2**-24]] * 3))
    assert ends.tolist() == [[0, 7], [-1, -1], [5, 5]]


def test_regions_are_drawn_anew_each_step_and_the_same_in_a_repeated_one():
    learner, objective = build("detcon_s")
    features = encoded(learner, region_data(8))
    first, again = (objective.draw(features)[1] for _ in range(2))
    later = objective.draw(replace(features, step=1))[1]
    assert torch.equal(first, again) and not torch.equal(first, later)
    objective.prepare(None, seed=1)
    assert not torch.equal(objective.draw(features)[1], first)
    assert not torch.equal(first[0], first[1])


def test_pooled_regions_are_means_of_their_cells():
    learner, objective = build("detcon_s")
    features = encoded(learner, region_data(8))
    owners, ids = objective.draw(features)
    for v in (0, 1):
        pooled = objective.pool(features.online[v], owners[v], ids[v]).unflatten(0, (8, 5))
        cells = features.online[v].last.flatten(2)
        for image, place in ((0, 0), (3, 2), (7, 4)):
            own = owners[v][image] == ids[v][image, place]
            assert own.any()
            torch.testing.assert_close(pooled[image, place], cells[image][:, own].mean(dim=1))


def test_an_image_without_regions_changes_nothing_but_statistics():
    """Its vectors are no negatives either: the loss is that of the others, over more images."""
    learner = build_learner(REGION_METHODS["detcon_s"], norm="GN")
    learner.objectives["detcon_s"].region_head.layers[1] = torch.nn.Identity()
    data = region_data(4)
    for view in data["views"]:
        view.regions.label_map[3] = -1
    whole = losses_of(learner, data)
    assert whole["detcon_s_matched"] <= 0.75
    data["views"] = [
        replace(v, image=v.image.index_fill(0, torch.tensor(3), 0)) for v in data["views"]
    ]
    torch.testing.assert_close(losses_of(learner, data)["detcon_s"], whole["detcon_s"])


def test_without_a_region_in_common_the_loss_is_zero():
    learner, _ = build("detcon_b")
    data = region_data(4)
    data["views"][0].regions.label_map.fill_(1)
    data["views"][1].regions.label_map.fill_(2)
    terms = losses_of(learner, data)
    terms["loss_detcon_b"].backward()
    assert terms["detcon_b"] == 0 and terms["detcon_b_matched"] == 0
    assert all((p.grad == 0).all() for p in learner.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", ["detcon_s", "detcon_b"])
def test_refuses_data_without_label_maps(name):
    learner, _ = build(name)
    with pytest.raises(DenseCLError, match="looks at the label map of regions"):
        losses_of(learner, random_data(4))


# SlotCon and Leopart


def without_overlap(batch):
    """All pairs like the first: left and right half of the source."""
    data = region_data(batch)
    data["views"] = [replace(v, matrix=v.matrix[:1].expand(batch, -1, -1)) for v in data["views"]]
    return data


def test_without_an_overlap_only_the_slots_are_contrasted():
    learner, objective = build("slotcon")
    terms = losses_of(learner, without_overlap(8))
    assert terms["slotcon_overlap"] == 0 and terms["slotcon_agreement"] == 0
    assert terms["slotcon"] > 0
    objective.grouping_weight = 1.0
    terms = losses_of(learner, without_overlap(8))
    terms["loss_slotcon"].backward()
    assert terms["slotcon"] == 0
    assert all((p.grad == 0).all() for p in learner.parameters() if p.requires_grad)


def test_without_an_overlap_leopart_learns_nothing():
    learner, _ = build("leopart")
    terms = losses_of(learner, without_overlap(8))
    terms["loss_leopart"].backward()
    assert terms["leopart"] == 0 and terms["leopart_overlap"] == 0
    assert all((p.grad == 0).all() for p in learner.parameters() if p.requires_grad)


def test_one_pair_without_overlap_leaves_the_distillation_to_the_others():
    """The first pair of the batch does not meet; dropping it changes no mean."""
    learner, objective = build("slotcon")
    objective.grouping_weight = 1.0
    learner.eval()  # batch statistics would change
    data = region_data(6)
    loss = losses_of(learner, data)
    assert 0 < loss["slotcon_overlap"] < 1
    data["views"] = [
        replace(
            v,
            image=v.image[1:],
            matrix=v.matrix[1:],
            source_size=v.source_size[1:],
            regions=v.regions.map(lambda t: t[1:]),
        )
        for v in data["views"]
    ]
    torch.testing.assert_close(losses_of(learner, data)["slotcon"], loss["slotcon"])


def test_the_center_follows_the_teachers_scores():
    learner, objective = build("slotcon", center_momentum=0.7)
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=0.1))
    expected = torch.zeros(6).double()
    for seed in range(3):
        data = region_data(4, seed=seed)
        features = encoded(learner, data)
        prototypes = F.normalize(objective.target_prototypes.network.weight, dim=1)
        means = []
        for v in (0, 1):
            cells = features.target[v].last.permute(0, 2, 3, 1).flatten(0, 2)
            embedded = F.normalize(objective.target_head(cells), dim=1)
            means.append((embedded @ prototypes.T).mean(dim=0))
        expected = 0.7 * expected + 0.3 * (means[0] + means[1]) / 2
        learner.train_step(data, wrapper)
        torch.testing.assert_close(objective.center, expected)


def test_too_few_common_slots_are_no_error():
    """Prototypes that only one view resembles: nothing to contrast, gradients stay defined."""
    learner, objective = build("slotcon")
    features = encoded(learner, region_data(4))
    student = objective._group(features.online[0], objective.cell_head, objective.prototypes.weight)
    apart = student._replace(scores=-student.scores)
    for count in (0, 1):
        scores = apart.scores.clone()
        if count:
            scores[0, student.scores[0].flatten(1).max(dim=1).values.argmax()] = 9.0
        loss = objective._contrast(student, apart._replace(scores=scores))
        loss.backward(retain_graph=True)
        assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in objective.predictor.parameters())


def test_leopart_by_hand_with_a_queue():
    """Assignments of all cells and, once full, of the queue, read on the overlap by the other."""
    learner, objective = build("leopart", epsilon=0.5)
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=0.1))
    used = []
    for seed in range(3):
        data = region_data(4, seed=seed)
        features = encoded(learner, data)
        views = [features.online[v].view for v in (0, 1)]
        student = F.normalize(objective.prototypes.weight.detach(), dim=1)
        teacher = F.normalize(objective.target_prototypes.network.weight, dim=1)

        def score(side, v, head, prototypes):
            cells = side[v].last.permute(0, 2, 3, 1).flatten(0, 2)
            return F.normalize(head(cells).detach(), dim=1) @ prototypes.T

        grid = OverlapGrid(*views, (3, 3))
        total = 0
        for a in (0, 1):
            rows = score(features.target, a, objective.target_head, teacher)
            if int(objective.queue.filled) == 10:
                rows = torch.cat([rows, objective.queue.keys[:, 8 * a : 8 * a + 8] @ teacher.T])
            q = sinkhorn(rows, 0.5, 3)[: 4 * 16].reshape(4, 4, 4, 6).permute(0, 3, 1, 2)
            p = score(features.online, 1 - a, objective.cell_head, student)
            p = p.reshape(4, 4, 4, 6).permute(0, 3, 1, 2)
            q, p = grid.sample(q, views[a]), grid.sample(p, views[1 - a])
            cross = -(q * (p / 0.1).log_softmax(dim=1)).sum(dim=1).flatten(1)
            total = total + cross[grid.valid_BS].mean() / 2
        used.append(int(objective.queue.filled))
        torch.testing.assert_close(learner.train_step(data, wrapper)["leopart"], total)
        lengths = objective.prototypes.weight.detach().norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths))
    assert used == [0, 10, 10]


def test_leopart_clusters_the_patches_of_a_vision_transformer_in_multi_crop():
    backbone = {"type": "TimmBackbone", "model_name": "vit_tiny_patch16_224", "img_size": 32}
    options = {
        "depth": 1,
        "embed_dim": 24,
        "num_heads": 2,
        "out_indices": (0,),
        "class_token": True,
    }
    from dense_cl.models import Learner

    method = {**REGION_METHODS["leopart"], "num_views": 3}
    learner = Learner(
        backbone={**backbone, **options}, objectives=[method], target={"ema_decay": 0.9}
    ).double()
    data = region_data(4, size=32, views=2)
    small = region_data(4, size=32, views=1, seed=1)["views"]
    data["views"] += small
    begin(learner, data)
    loss = losses_of(learner, data)
    loss["loss_leopart"].backward()
    missing = [n for n, p in learner.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("detcon_s", {"stage": 0}, "stage=0"),
        ("detcon_b", {"stage": -3}, "stage=-3.*returns 2"),
        ("slotcon", {"num_prototypes": 1}, "num_prototypes=1"),
        ("leopart", {"num_views": 1}, "num_views=1"),
        ("leopart", {"num_assign_views": 3}, "num_assign_views=3"),
        ("leopart", {"epsilon": 0.0}, "epsilon=0.0"),
    ],
)
def test_refuses_to_be_built(name, options, message):
    with pytest.raises(DenseCLError, match=message):
        build(name, **options)


IN = (4, 8, 16, 32)
VECTORS = dict(type="MLPHead", hidden_channels=8, out_channels=4)


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (dict(type="DetConS", head=VECTORS, temperature=-0.1), "DetConS: temperature=-0.1"),
        (dict(type="DetConS", head=VECTORS, num_regions=0), "DetConS: num_regions=0"),
        (dict(type="ReSim", windows=(0, 8)), "ReSim: windows=0"),
        (dict(type="ReSim", strides=(8, 0)), "ReSim: strides=0"),
        (dict(type="SlotCon", head=VECTORS, center_momentum=1.5), "SlotCon: center_momentum=1.5"),
        (dict(type="SlotCon", head=VECTORS, teacher_temperature=0), "teacher_temperature=0"),
        (dict(type="Leopart", head=VECTORS, grid_size=0), "Leopart: grid_size=0"),
        (dict(type="Leopart", head=VECTORS, queue_per_image=-1), "Leopart: queue_per_image=-1"),
        (dict(type="SoCo", head=VECTORS, jitter_probability=2), "SoCo: jitter_probability=2"),
        (dict(type="SoCo", head=VECTORS, side=0), "SoCo: side=0"),
        (dict(type="InfoNCE", head=VECTORS, temperature=-0.2), "InfoNCE: temperature=-0.2"),
        (dict(type="SimCLR", head=VECTORS, temperature=0), "SimCLR: temperature=0"),
        (dict(type="SwAV", head=VECTORS, temperature=-1), "SwAV: temperature=-1"),
    ],
)
def test_options_out_of_range_are_named(cfg, message):
    with pytest.raises(DenseCLError, match=message):
        OBJECTIVES.build(dict(cfg, in_channels=IN))


def test_leoparts_queue_takes_cells_of_views_of_one_size():
    maps = [torch.ones(2, 4, 6, 6), torch.ones(2, 4, 3, 3)]
    assert choose_cells(maps[:1] * 2, 5, (0,)).shape == (10, 8)
    with pytest.raises(DenseCLError, match="lower num_assign_views to the large views"):
        choose_cells(maps, 5, (0,))
