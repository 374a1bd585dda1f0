"""PixContrast, PixPro and VICRegL in a learner: gradients, views without overlap, combinations."""

import dataclasses

import pytest
import torch
from learners import (
    IMAGE_METHODS,
    PIXEL_METHODS,
    begin,
    build_learner,
    dense_info_nce,
    images_of,
    info_nce,
    random_data,
)
from mmengine.optim import OptimWrapper

from dense_cl.errors import DenseCLError
from dense_cl.models.correspondence import CorrespondenceProvider
from dense_cl.models.features import FeatureBundle, ViewFeatures
from dense_cl.regions.regions import RegionBatch

IMAGE = {**IMAGE_METHODS, "info_nce": info_nce()}
BOTH_WAYS = ["pixcontrast", "pixpro"]


def losses_of(learner, data):
    return learner(**learner.data_preprocessor(data, True))


def shifted(data, pixels):
    """The same images, the second view seen so many pixels further to the right."""
    first, second = data["views"]
    matrix = second.matrix.clone()
    matrix[:, 0, 2] += pixels
    wide = second.source_size + torch.tensor([0, 1000])
    views = [
        dataclasses.replace(first, source_size=wide),
        dataclasses.replace(second, matrix=matrix, source_size=wide),
    ]
    return {**data, "views": views}


def train(learner, steps):
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.01, momentum=0.9)
    wrapper, data = OptimWrapper(optimizer), random_data(8)
    return [learner.train_step(data, wrapper) for _ in range(steps)]


@pytest.mark.parametrize("name", PIXEL_METHODS)
def test_learns_and_every_online_parameter_gets_a_gradient(name):
    learner = build_learner(PIXEL_METHODS[name])
    losses_of(learner, random_data(8))[f"loss_{name}"].backward()
    for parameter_name, parameter in learner.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, parameter_name
    learner.zero_grad()
    history = [float(terms[name]) for terms in train(learner, 30)]
    assert history[-1] < history[0]


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_keys_come_from_the_target_network(name):
    learner, data = build_learner(PIXEL_METHODS[name]), random_data(4)
    before = losses_of(learner, data)[name]
    with torch.no_grad():
        for parameter in learner.objectives[name].target_head.parameters():
            parameter.add_(torch.randn_like(parameter))
    assert not torch.isclose(losses_of(learner, data)[name], before)


@pytest.mark.parametrize("name", PIXEL_METHODS)
def test_both_directions_count(name):
    learner, data = build_learner(PIXEL_METHODS[name], norm="GN"), shifted(random_data(4), 8)
    forth = losses_of(learner, data)[name]
    back = losses_of(learner, {**data, "views": data["views"][::-1]})[name]
    torch.testing.assert_close(back, forth)


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_views_without_overlap_add_nothing(name):
    learner = build_learner(PIXEL_METHODS[name])
    terms = losses_of(learner, shifted(random_data(4), 500))
    terms[f"loss_{name}"].backward()
    assert terms[name] == 0 and terms[f"{name}_matched"] == 0
    for parameter in learner.parameters():
        assert not parameter.requires_grad or (parameter.grad == 0).all()


def test_views_without_overlap_have_no_place_to_agree_on_in_vicregl():
    method = PIXEL_METHODS["vicregl"]
    learner = build_learner({**method, "feature_matches": None})
    terms = losses_of(learner, shifted(random_data(4), 500))
    terms["loss_vicregl"].backward()
    assert terms["vicregl"] == 0 and terms["vicregl_matched"] == 0
    for parameter in learner.parameters():
        assert not parameter.requires_grad or (parameter.grad == 0).all()
    # Features are matched all the same.
    both, features = build_learner(method), build_learner({**method, "location_matches": None})
    far = shifted(random_data(4), 500)
    torch.testing.assert_close(losses_of(both, far)["vicregl"], losses_of(features, far)["vicregl"])


def test_an_image_without_overlap_is_as_if_it_were_not_there_in_vicregl():
    method = {**PIXEL_METHODS["vicregl"], "feature_matches": None}
    method["head"] = {**method["head"], "norm": None}  # batch statistics are of all images
    data = shifted(random_data(4), 0)
    data["views"][1].matrix[3, 0, 2] += 500
    losses, gradients = [], []
    for batch in (data, images_of(data, 0, 3)):
        learner = build_learner(method, norm="GN")
        losses.append(losses_of(learner, batch)["loss_vicregl"])
        losses[-1].backward()
        gradients.append([p.grad for p in learner.parameters() if p.requires_grad])
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*gradients)


def test_providers_of_vicregl_are_found_and_leave_no_trace_in_its_state():
    objective = build_learner(PIXEL_METHODS["vicregl"]).objectives["vicregl"]
    found = [m for m in objective.modules() if isinstance(m, CorrespondenceProvider)]
    assert [type(m).__name__ for m in found] == ["KBestFeatures"] * 2 + ["KBestLocations"] * 2
    assert all(name.startswith("head.") for name in objective.state_dict())


@pytest.mark.parametrize("name", PIXEL_METHODS)
@pytest.mark.parametrize("image", IMAGE)
def test_combines_with_any_image_level_objective(image, name):
    learner = build_learner(
        {**IMAGE[image], "weight": 0.75}, {**PIXEL_METHODS[name], "weight": 0.25}
    )
    begin(learner, random_data(8))
    terms = train(learner, 2)[-1]
    torch.testing.assert_close(
        terms["loss"].detach(), 0.75 * terms[image] + 0.25 * terms[name].detach()
    )


@pytest.mark.parametrize("name", PIXEL_METHODS)
def test_an_earlier_stage_gives_a_finer_grid(name):
    learner = build_learner({**PIXEL_METHODS[name], "stage": -2})
    assert learner.encoding.num_stages == 2
    layer = learner.objectives[name].head.layers[0]
    assert layer.in_features == 32
    seen = []
    layer.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape))
    losses_of(learner, random_data(2))
    assert {tuple(shape) for shape in seen} == {(2 * 8 * 8, 32)}
    with pytest.raises(DenseCLError, match="stage=-3"):
        build_learner({**PIXEL_METHODS[name], "stage": -3})


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_features_are_matched_on_the_stage_that_is_trained(name):
    """Views with equal maps of that stage and different maps of the one behind it."""
    method = {**PIXEL_METHODS[name], "correspondence": {"type": "FeatureArgmax"}, "stage": -2}
    objective = build_learner(method).objectives[name]
    shared = torch.randn(2, 32, 8, 8, dtype=torch.float64)
    views = {
        number: ViewFeatures((shared, torch.randn(2, 64, 4, 4, dtype=torch.float64)), view)
        for number, view in enumerate(random_data(2)["views"])
    }
    matches = []
    objective.correspondence.register_forward_hook(lambda *call: matches.append(call[2]))
    objective(FeatureBundle(views, views))
    assert len(matches) == 2
    for match in matches:
        assert (match.indices_BS == torch.arange(64)).all()


@pytest.mark.parametrize("provider", ["GeometricNearest", "MutualNearest", "KBestFeatures"])
@pytest.mark.parametrize("name", BOTH_WAYS)
def test_single_partners_do_as_well(name, provider):
    method = {**PIXEL_METHODS[name], "correspondence": {"type": provider}}
    terms = train(build_learner(method), 2)[-1]
    assert 0 < terms[f"{name}_matched"] <= 1


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_regions_may_say_what_corresponds(name):
    learner = build_learner({**PIXEL_METHODS[name], "correspondence": {"type": "RegionIds"}})
    data = random_data(4)
    with pytest.raises(DenseCLError, match="label map of regions"):
        losses_of(learner, data)
    for number, view in enumerate(data["views"]):
        labels = torch.full((4, 32, 32), -1, dtype=torch.int16)
        labels[:, :16] = 1 + number  # a region of each view's own
        labels[:2, 16:, :16] = 0  # one that two images share: a quarter of their cells
        data["views"][number] = dataclasses.replace(view, regions=RegionBatch(labels))
    assert losses_of(learner, data)[f"{name}_matched"] == 1 / 8


def test_dense_info_nce_takes_single_partners_only():
    train(build_learner(dense_info_nce("KBestLocations")), 1)
    with pytest.raises(DenseCLError, match="DistanceThreshold.*GeometricNearest"):
        build_learner(dense_info_nce("DistanceThreshold"))


def test_vicregl_takes_small_views_with_few_cells():
    learner = build_learner({**PIXEL_METHODS["vicregl"], "num_views": 3})
    data = random_data(4)
    data["views"].append(random_data(4, size=16, views=1, seed=1)["views"][0])
    terms = losses_of(learner, data)
    terms["loss_vicregl"].backward()
    assert all(p.grad.isfinite().all() for p in learner.parameters() if p.requires_grad)
    with pytest.raises(DenseCLError, match="need 3 views"):
        losses_of(learner, random_data(4))
    for options in ({"num_views": 1}, {"feature_matches": None, "location_matches": None}):
        with pytest.raises(DenseCLError, match="two views and something to match"):
            build_learner({**PIXEL_METHODS["vicregl"], **options})


@pytest.mark.parametrize("name", PIXEL_METHODS)
def test_under_autocast_it_is_near_float32(name):
    learner, data = build_learner(PIXEL_METHODS[name], norm="GN").float(), random_data(4)
    exact = losses_of(learner, data)[name]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = losses_of(learner, data)[name]
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.05)
