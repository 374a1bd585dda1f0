"""SoCo: which boxes, their jitter, the loss by closed forms, symmetry, and what the target is."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.errors import DenseCLError
from dense_cl.losses.object_distance import object_distance
from dense_cl.models.features import FeatureBundle, ViewFeatures
from dense_cl.objectives import SoCo
from dense_cl.objectives.region.box_sampling import (
    jitter_boxes,
    sample_boxes,
    take_boxes,
)
from dense_cl.objectives.region.cells import image_draws
from dense_cl.regions.regions import RegionBatch
from dense_cl.views.batch import ViewBatch


@settings(max_examples=60)
@given(st.integers(0, 6), st.integers(1, 5), st.integers(0, 2**31))
def test_boxes_are_drawn_from_the_candidates_without_repetition(number, count, seed):
    generator = torch.Generator().manual_seed(seed)
    candidate = torch.rand(4, number, generator=generator) < 0.6
    noise = torch.rand(4, number, generator=generator)
    chosen, counted = sample_boxes(candidate, noise, count)
    for have, boxes, counts in zip(candidate, chosen.tolist(), counted, strict=True):
        candidates = have.nonzero().flatten().tolist()
        kept = min(len(candidates), count)
        assert counts.tolist() == [True] * kept + [False] * (count - kept)
        drawn = boxes[:kept]
        assert len(set(drawn)) == kept and set(drawn) <= set(candidates)
        if not candidates:
            assert boxes == [number] * count
        elif kept < count:  # repeated in the same order
            assert boxes == [drawn[k % kept] for k in range(count)]


def draws(numbers: int, images: int, seed: int) -> torch.Tensor:
    return image_draws(images, (numbers,), (seed,), torch.zeros(0))


def test_every_candidate_is_as_likely():
    candidate = torch.tensor([[True, False, True, True, True]]).expand(4000, 5)
    chosen, _ = sample_boxes(candidate, draws(5, 4000, 3), 2)
    share = torch.bincount(chosen.flatten(), minlength=5) / 8000
    assert share[1] == 0
    assert ((share[[0, 2, 3, 4]] - 0.25).abs() < 0.03).all()  # six standard deviations


def test_noise_depends_on_the_seed_and_not_on_how_many_numbers_are_asked_for():
    few, many = draws(3, 5, 7), draws(40, 5, 7)
    assert torch.equal(few, many[:, :3])
    assert not torch.equal(few, draws(3, 5, 8))


def test_jitter_shifts_and_stretches_by_parts_of_the_sides():
    box = torch.tensor([[[20.0, 40, 60, 60]]])  # 40 wide, 20 high

    def jittered(*noise, ratio=0.1, probability=0.5):
        return jitter_boxes(box, torch.tensor([[noise]]), ratio, probability, (100, 90))[0, 0]

    assert jittered(0.5, 0, 0, 0, 0).tolist() == box[0, 0].tolist()  # not drawn
    assert jittered(0.4, 0.5, 0.5, 0.5, 0.5).tolist() == box[0, 0].tolist()
    torch.testing.assert_close(jittered(0, 1.0, 0.5, 0.5, 0.5), torch.tensor([24.0, 40, 64, 60]))
    torch.testing.assert_close(jittered(0, 0.5, 0.0, 0.5, 1.0), torch.tensor([20.0, 38, 60, 60]))
    torch.testing.assert_close(jittered(0, 0.5, 0.5, 0.0, 0.5), torch.tensor([20.0, 40, 56, 60]))
    assert jittered(0, 1.0, 1.0, 1.0, 1.0, ratio=0.9).tolist() == [56, 58, 90, 96]  # clipped


def test_the_box_behind_the_last_is_the_whole_view():
    boxes = torch.arange(16.0).view(2, 2, 4)
    taken = take_boxes(boxes, torch.tensor([[1, 0], [2, 2]]), (30, 50))
    assert torch.equal(taken[0], boxes[0].flip(0))
    assert taken[1].tolist() == [[0, 0, 50, 30]] * 2
    assert take_boxes(boxes[:, :0], torch.tensor([[0], [0]]), (30, 50)).shape == (2, 1, 4)


def test_distance_of_equal_opposite_and_orthogonal_vectors():
    one = torch.tensor([[[3.0, 0], [0, 2]]], dtype=torch.float64)
    all_ = torch.ones(1, 2, dtype=torch.bool)
    for target, expected in ((one, 0), (-5 * one, 4), (one.flip(2), 2)):
        distance = object_distance(one, target, all_)
        torch.testing.assert_close(distance, torch.tensor(expected).double())


def test_every_image_has_the_same_say_however_many_boxes_it_has():
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 3, 4, 5, generator=generator).double()
    counted = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]).bool()
    per_box = 2 - 2 * torch.cosine_similarity(prediction, target, dim=2)
    expected = (per_box[0, :3].mean() + per_box[2, 1]) / 2
    loss = object_distance(prediction, target, counted)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_without_boxes_the_loss_and_its_gradient_are_zero():
    prediction = torch.randn(2, 3, 5, requires_grad=True)
    loss = object_distance(prediction, torch.randn(2, 3, 5), torch.zeros(2, 3).bool())
    loss.backward()
    assert loss == 0 and prediction.grad.eq(0).all()


def test_distance_has_the_gradient_of_its_value():
    target = torch.randn(2, 2, 3, dtype=torch.float64)
    counted = torch.tensor([[True, False], [True, True]])
    prediction = torch.randn(2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: object_distance(p, target, counted), prediction)


def method(**options) -> SoCo:
    torch.manual_seed(0)
    head = {"type": "MLPHead", "hidden_channels": 32, "out_channels": 6}
    settings = {
        "head": head, "predictor": {"hidden_channels": 32, "norm": None}, "num_views": 2,
        "num_boxes": 3, "level_sizes": (16,), "channels": 32, "side": 3, "num_convs": 1,
        "fc_channels": 24, "norm": "GN",
    }  # fmt: skip
    return SoCo((4, 8), **{**settings, **options}).double()


def boxes_of(batch=3, number=5, size=48) -> torch.Tensor:
    corners = torch.rand(batch, number, 2, 2).sort(dim=2).values * (size - 8)
    return corners.flatten(2) + torch.tensor([0, 0, 8, 8])


def features(boxes, visible=None, same=False, sizes=(48, 48)) -> FeatureBundle:
    """Random maps; the same for all views and encoders, or not."""

    def one(size, seed):
        generator = torch.Generator().manual_seed(0 if same else seed)
        stages = [
            torch.randn(batch, c, size // s, size // s, generator=generator, dtype=torch.float64)
            for c, s in ((4, 4), (8, 8))
        ]
        matrix = torch.eye(3, dtype=torch.float64)[:2].repeat(batch, 1, 1) * 48 / size
        scaled = RegionBatch(boxes=boxes * size / 48, visible=visible)
        place = ViewBatch(stages[0], matrix, torch.full((batch, 2), 48), (size, size), scaled)
        return ViewFeatures(tuple(stages), place)

    batch = len(boxes)
    visible = torch.ones(boxes.shape[:2]) if visible is None else visible
    online = {v: one(size, v) for v, size in enumerate(sizes)}
    target = {v: one(size, 10 + v) for v, size in enumerate(sizes)}
    return FeatureBundle(online, target)


def test_equal_views_without_jitter_and_predictor_have_no_distance():
    soco = method(jitter=0.0, predictor={"num_layers": 0})
    output = soco(features(boxes_of(), same=True))
    torch.testing.assert_close(output.loss, torch.zeros(()).double())
    torch.testing.assert_close(output.diagnostics["positive_similarity"], torch.ones(()).double())
    jittered = method(jitter=0.3, predictor={"num_layers": 0})(features(boxes_of(), same=True))
    assert jittered.loss > 0.01  # the first view's boxes are others now


def test_loss_is_the_sum_over_pairs_and_directions():
    soco = method(num_views=3, jitter=0.0, num_boxes=5)
    boxes = boxes_of()
    bundle = features(boxes, sizes=(48, 48, 24))
    expected = 0.0
    for a, b in ((0, 1), (1, 0), (0, 2), (2, 0)):
        vectors = []
        for side, encoder, v in (("online", soco.encoder, a), ("target", soco.target_encoder, b)):
            one = getattr(bundle, side)[v]
            vector = encoder(one.stages, one.view.regions.boxes, one.view.view_size)
            vectors.append(soco.predictor(vector) if side == "online" else vector)
        expected += (2 - 2 * torch.cosine_similarity(*vectors, dim=1)).mean()
    torch.testing.assert_close(soco(bundle).loss, expected, rtol=1e-8, atol=0)


def test_views_change_places():
    soco = method(jitter=0.0)
    bundle = features(boxes_of())
    swapped = FeatureBundle(
        {0: bundle.online[1], 1: bundle.online[0]}, {0: bundle.target[1], 1: bundle.target[0]}
    )
    torch.testing.assert_close(soco(swapped).loss, soco(bundle).loss)


def test_boxes_that_a_view_cuts_off_are_left_out():
    visible = torch.ones(3, 5)
    bundle = features(boxes_of(), visible)
    visible = visible.clone()
    visible[0, :] = 0.5
    visible[1, 2:] = 0.9
    cut = replace(bundle.online[1].view.regions, visible=visible)
    view = replace(bundle.online[1].view, regions=cut)
    bundle.online[1] = replace(bundle.online[1], view=view)
    strict = method()(bundle).diagnostics
    torch.testing.assert_close(strict["boxes"], torch.tensor((0 + 2 + 5) / 3))
    torch.testing.assert_close(strict["without_boxes"], torch.tensor(1 / 3))
    mild = method(min_visible=0.4)(bundle).diagnostics
    assert mild["boxes"] == 5 and mild["without_boxes"] == 0


def test_an_image_without_boxes_contributes_nothing():
    soco = method(num_boxes=5, jitter=0.0)
    boxes = boxes_of()
    visible = torch.ones(3, 5)
    visible[1] = 0
    output = soco(features(boxes, visible))
    bundle = features(boxes, visible)
    for side in (bundle.online, bundle.target):
        for v, one in side.items():
            side[v] = replace(one, stages=tuple(s.clone() for s in one.stages))
            for stage in side[v].stages:
                stage[1] = torch.randn_like(stage[1])
    torch.testing.assert_close(soco(bundle).loss, output.loss)
    none = soco(features(boxes[:, :0], torch.ones(3, 0)))
    none.loss.backward()
    assert none.loss == 0 and none.diagnostics["positive_similarity"] == 0
    assert all(p.grad.eq(0).all() for p in soco.parameters() if p.requires_grad)


def test_step_and_seed_choose_the_boxes():
    soco = method(num_boxes=1)
    bundle = features(boxes_of())
    losses = {}
    for seed in (0, 1):
        soco.prepare(None, seed)
        for step in (0, 1):
            losses[seed, step] = soco(replace(bundle, step=step)).loss.item()
            assert soco(replace(bundle, step=step)).loss.item() == losses[seed, step]
    assert len(set(losses.values())) == 4


def test_jitter_moves_the_boxes_of_the_first_view_only():
    bundle = features(boxes_of())
    soco = method(num_boxes=5, jitter_probability=1.0)
    (first, second), _, _ = soco._choose(bundle)
    order = [sorted(boxes.tolist()) for boxes in (first[0], second[0], boxes_of()[0])]
    given = sorted(bundle.online[0].view.regions.boxes[0].tolist())
    assert order[1] == given and order[0] != given
    side = (second[..., 2:] - second[..., :2]).repeat(1, 1, 2)
    assert ((first - second).abs() <= 0.2 * side + 1e-4).all()


def test_the_target_is_an_average_of_pyramid_head_and_projection():
    soco = method(jitter=0.0)
    bundle = features(boxes_of())
    before = soco(bundle).loss
    with torch.no_grad():
        for parameter in soco.encoder.box_head.parameters():
            parameter.add_(1)
    soco.target_encoder.ema_decay = 0.75
    soco.target_encoder.update(step=0)
    averaged = soco.target_encoder.network.box_head.shared_fcs[0].weight
    torch.testing.assert_close(averaged, soco.encoder.box_head.shared_fcs[0].weight - 0.75)
    with torch.no_grad():
        for parameter in soco.encoder.box_head.parameters():
            parameter.sub_(1)
    assert not torch.isclose(soco(bundle).loss, before)  # only the target has changed
    kinds = {name.split(".")[0] for name, _ in soco.target_encoder.network.named_parameters()}
    assert kinds == {"neck", "box_head", "projector"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_views": 1}, "compares two views or more"),
        ({"num_boxes": 0}, "one box or more"),
        ({"jitter": 1.0}, r"jitter lies in \[0, 1\)"),
        ({"min_visible": 0.0}, r"min_visible in \(0, 1\]"),
        ({"level_sizes": (48, 96, 192)}, "between 4 levels, the backbone has 2 maps"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(DenseCLError, match=message):
        method(**options)
