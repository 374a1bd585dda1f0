"""Any image-level objective beside any pixel- or region-level one."""

import itertools

import pytest
import torch
from learners import (
    BOX_METHODS,
    IMAGE_METHODS,
    PIXEL_METHODS,
    attention,
    begin,
    build_learner,
    dense_info_nce,
    info_nce,
)
from mmengine.optim import OptimWrapper
from orl_learner import ORL, orl_data
from region_learners import REGION_METHODS, region_data
from torch import nn

from dense_cl.errors import DenseCLError
from dense_cl.models import build_backbone
from dense_cl.transfer.encoder import Encoder, save_encoder

# Those that compare a query with a key, so that attention can ask what made them alike.
PAIRS = ("info_nce", "simclr", "moco_v3", "byol", "simsiam")
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
    terms_ask_something(learner, orl_data(6) if place == "orl" else region_data(6))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Write an untrained classifier of three classes."""
    architecture = dict(type="ResNet", depth=18)
    normalization = dict(mean=[0.0] * 3, std=[255.0] * 3, channel_order="RGB")
    meta = dict(architecture=architecture, normalization=normalization)
    encoder = Encoder(build_backbone(architecture), nn.Sequential(nn.Linear(512, 3)), meta)
    return save_encoder(encoder, tmp_path_factory.mktemp("teacher") / "teacher")[0]


@pytest.mark.parametrize("place", PLACE)
def test_every_place_is_learnt_beside_a_teacher(teacher, place):
    learner = build_learner({"type": "Distillation", "teacher": str(teacher)}, PLACE[place])
    terms_ask_something(learner, orl_data(6) if place == "orl" else region_data(6))


@pytest.mark.parametrize("place", [None, *PLACE])
@pytest.mark.parametrize("image", PAIRS)
def test_attention_trains_with_every_score_of_a_pair(image, place):
    others = [] if place is None else [PLACE[place]]
    learner = build_learner(*others, attention(), IMAGE[image])  # in any order
    terms_ask_something(learner, orl_data(6) if place == "orl" else region_data(6))


@pytest.mark.parametrize("image", [name for name in IMAGE if name not in PAIRS])
def test_attention_without_a_score_of_a_pair_is_refused(image):
    name = IMAGE[image]["type"]
    with pytest.raises(
        DenseCLError, match=rf"\({name}\) has none: such losses are of a whole batch"
    ):
        build_learner(IMAGE[image], attention())


def terms_ask_something(learner, data):
    begin(learner, data)
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=1e-3))
    logged = learner.train_step(data, wrapper)
    assert {f"loss_{name}" for name, _ in learner.named_objectives()} <= logged.keys()
    # Each term by itself asks something of the backbone, and of its own head.
    for name, objective in learner.named_objectives():
        learner.zero_grad()
        learner(**learner.data_preprocessor(data))[f"loss_{name}"].backward()
        for module in (learner.backbone, *([objective] if list(objective.parameters()) else [])):
            gradients = [p.grad for p in module.parameters() if p.grad is not None]
            assert any(gradient.abs().max() > 0 for gradient in gradients), name
