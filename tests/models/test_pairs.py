"""Any image-level objective beside any pixel- or region-level one."""

import itertools

import pytest
import torch
from learners import (
    BOX_METHODS,
    IMAGE_METHODS,
    PIXEL_METHODS,
    begin,
    build_learner,
    dense_info_nce,
    info_nce,
)
from mmengine.optim import OptimWrapper
from orl_learner import ORL, orl_data
from region_learners import REGION_METHODS, region_data

IMAGE = {"info_nce": info_nce(), **IMAGE_METHODS}
PLACE = {
    "dense_info_nce": dense_info_nce(),
    "geometric": dense_info_nce("GeometricNearest"),
    **PIXEL_METHODS,
    **BOX_METHODS,
    **REGION_METHODS,
    "orl": ORL,
}


@pytest.mark.parametrize(("image", "place"), list(itertools.product(IMAGE, PLACE)))
def test_every_pair_trains(image, place):
    learner = build_learner(IMAGE[image], PLACE[place])
    data = orl_data(6) if place == "orl" else region_data(6)
    begin(learner, data)
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=1e-3))
    logged = learner.train_step(data, wrapper)
    first, second = (name for name, _ in learner.named_objectives())
    assert {f"loss_{first}", f"loss_{second}"} <= logged.keys()
    # Each term by itself asks something of the backbone, and of its own head.
    for name, objective in learner.named_objectives():
        learner.zero_grad()
        learner(**learner.data_preprocessor(data))[f"loss_{name}"].backward()
        for module in (learner.backbone, objective):
            gradients = [p.grad for p in module.parameters() if p.grad is not None]
            assert any(gradient.abs().max() > 0 for gradient in gradients), name
