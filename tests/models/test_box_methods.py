"""ReSim and SoCo in the learner: who gets gradients, what they combine with, what they need."""

from dataclasses import replace

import pytest
import torch
from learners import BOX_METHODS, IMAGE_METHODS, begin, build_learner, info_nce, random_data
from mmengine.optim import OptimWrapper

from dense_cl.errors import DenseCLError

IMAGE = {**IMAGE_METHODS, "info_nce": info_nce()}


def train(learner, steps):
    begin(learner, random_data(6))
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=0.05, momentum=0.9))
    return [learner.train_step(random_data(6), wrapper) for _ in range(steps)]


@pytest.mark.parametrize("name", BOX_METHODS)
def test_online_parts_learn_and_ema_parts_follow(name):
    learner = build_learner(BOX_METHODS[name])
    begin(learner, random_data(6))
    losses = learner(**learner.data_preprocessor(random_data(6), True))
    losses[f"loss_{name}"].backward()
    for parameter_name, parameter in learner.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, parameter_name
    learner.zero_grad()
    before = {key: value.clone() for key, value in learner.state_dict().items()}
    history = [float(terms[name]) for terms in train(learner, 30)]
    assert sum(history[-5:]) < 0.8 * sum(history[:5])
    averaged = [k for k in before if "target" in k and k.endswith((".weight", ".bias"))]
    assert any("neck" in key for key in averaged)
    assert not any(torch.equal(learner.state_dict()[key], before[key]) for key in averaged)


@pytest.mark.parametrize("image", IMAGE)
@pytest.mark.parametrize("name", BOX_METHODS)
def test_combines_with_every_image_level_objective(name, image):
    terms = train(build_learner({**IMAGE[image], "weight": 0.5}, BOX_METHODS[name]), 2)[-1]
    torch.testing.assert_close(terms["loss"].detach(), 0.5 * terms[image] + terms[name])


def test_third_view_may_be_smaller():
    data = random_data(6, views=3)
    whole = data["views"][2]
    data["views"][2] = replace(
        whole,
        image=whole.image[:, ::2, ::2],
        matrix=2 * whole.matrix,
        view_size=(16, 16),
        regions=replace(whole.regions, boxes=whole.regions.boxes / 2),
    )
    learner = build_learner({**BOX_METHODS["soco"], "num_views": 3})
    losses = learner(**learner.data_preprocessor(data, True))
    # Squared distances of unit vectors, of four pairs: (0, 1), (1, 0), (0, 2), (2, 0).
    torch.testing.assert_close(losses["soco"], 8 - 8 * losses["soco_positive_similarity"])


def test_data_without_boxes_are_refused():
    learner = build_learner(BOX_METHODS["soco"])
    data = random_data(2)
    data["views"] = [replace(view, regions=None) for view in data["views"]]
    with pytest.raises(DenseCLError, match="soco looks at the boxes of regions"):
        learner(**learner.data_preprocessor(data, True))
