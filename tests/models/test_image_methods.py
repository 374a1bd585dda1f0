"""The image-level methods: who gets gradients, known failures, and any pair of objectives."""

import itertools

import pytest
import torch
from learners import IMAGE_METHODS, begin, dense_info_nce, info_nce, random_data
from learners import build_learner as build
from mmengine.optim import OptimWrapper

ALL = {**IMAGE_METHODS, "info_nce": info_nce()}


def build_learner(*objectives, **options):
    learner = build(*objectives, **options)
    begin(learner, random_data(8))
    return learner


def train(learner, steps, lr=0.05):
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=lr, momentum=0.9))
    data = random_data(8)
    return [learner.train_step(data, wrapper) for _ in range(steps)]


@pytest.mark.parametrize("name", IMAGE_METHODS)
def test_learns_and_every_online_parameter_gets_a_gradient(name):
    learner = build_learner(IMAGE_METHODS[name])
    losses = learner(**learner.data_preprocessor(random_data(8), True))
    assert losses[f"loss_{name}"] == losses[name]
    losses[f"loss_{name}"].backward()
    for parameter_name, parameter in learner.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, parameter_name
    learner.zero_grad()
    history = [float(terms[name].detach()) for terms in train(learner, 30)]
    assert history[-1] < history[0]


@pytest.mark.parametrize("name", ["byol", "moco_v3"])
def test_keys_come_from_the_target_network(name):
    """Perturb only the EMA head: the loss must change, and not its gradient's existence."""
    learner = build_learner(IMAGE_METHODS[name])
    data = learner.data_preprocessor(random_data(8), True)
    before = learner(**data)[name]
    with torch.no_grad():
        for parameter in learner.objectives[name].target_head.parameters():
            parameter.add_(torch.randn_like(parameter))
    assert not torch.isclose(learner(**data)[name], before)


def test_both_directions_count():
    """Swapping the views leaves symmetric losses as they are."""
    for name in IMAGE_METHODS:
        learner = build_learner(IMAGE_METHODS[name], norm="GN")
        data = random_data(8)
        forth = learner(**learner.data_preprocessor(data, True))[name]
        data["views"] = data["views"][::-1]
        back = learner(**learner.data_preprocessor(data, True))[name]
        torch.testing.assert_close(back, forth, msg=name)


def test_simsiam_without_stop_gradient_collapses():
    """Figure 2 of the paper, in small: every image ends with the same projection."""
    method = {**IMAGE_METHODS["simsiam"], "stop_gradient": False}
    method["head"] = {**method["head"], "norm_last": False}
    learner = build_learner(method)
    first = train(learner, 1, lr=0.2)[0]["simsiam_positive_similarity"]
    last = train(learner, 200, lr=0.2)[-1]["simsiam_positive_similarity"]
    projections = learner.objectives["simsiam"].head(
        learner.backbone(learner.data_preprocessor(random_data(8, seed=1), True)["views"][0].image)[
            -1
        ]
    )
    directions = torch.nn.functional.normalize(projections, dim=1)
    assert first < 0.9 and last > 0.999
    assert directions.std(dim=0).max() < 0.1  # 1 / sqrt(8) = 0.35 when spread


def test_byol_loss_lies_where_the_paper_says():
    learner = build_learner(IMAGE_METHODS["byol"])
    loss = learner(**learner.data_preprocessor(random_data(8), True))
    assert 0 <= loss["byol"] <= 8
    torch.testing.assert_close(loss["byol"], 4 - 4 * loss["byol_positive_similarity"])


@pytest.mark.parametrize("name", ALL)
def test_combines_with_the_dense_objective(name):
    learner = build_learner({**ALL[name], "weight": 0.5}, dense_info_nce(weight=0.5))
    terms = train(learner, 2)[-1]
    expected = 0.5 * terms[name] + 0.5 * terms["dense_info_nce"]
    torch.testing.assert_close(terms["loss"].detach(), expected)


@pytest.mark.parametrize("pair", list(itertools.combinations(ALL, 2)))
def test_image_level_objectives_combine(pair):
    learner = build_learner(*(ALL[name] for name in pair))
    assert {f"loss_{name}" for name in pair} <= train(learner, 1)[0].keys()
