"""ORL: three BYOL distances with one projector; what may look at another image."""

import copy
from dataclasses import replace

import orl_learner
import pytest
import torch
import torch.multiprocessing
import torch.nn.functional as F
from learners import IMAGE_METHODS, build_learner, dense_info_nce, info_nce, random_data
from mmengine.optim import OptimWrapper
from orl_learner import ORL, orl_data
from test_distributed import same_training

from dense_cl.errors import DenseCLError


def losses_of(learner, data):
    return learner(**learner.data_preprocessor(data, True))


def test_is_the_sum_of_three_distances_of_unit_vectors():
    learner = build_learner({**ORL, "intra_weight": 0.5, "inter_weight": 2.0}, norm="GN")
    data = orl_data(6)
    terms = losses_of(learner, data)
    orl = learner.objectives["orl"]
    views = learner.data_preprocessor(data, True)["views"]
    online = [orl.head(learner.backbone(v.image)[-1]) for v in views]
    target = [
        F.normalize(orl.target_head.network(learner.target.network(v.image)[-1]), dim=1)
        for v in views
    ]
    expected = 0.0
    for first, predictor, weight in (
        (0, orl.predictor, 1.0),
        (2, orl.intra_predictor, 0.5),
        (4, orl.inter_predictor, 2.0),
    ):
        for a, b in ((first, first + 1), (first + 1, first)):
            prediction = F.normalize(predictor(online[a]), dim=1)
            expected += weight * ((prediction - target[b]) ** 2).sum(dim=1).mean()
    torch.testing.assert_close(terms["orl"], expected)


def test_without_objects_it_is_byol():
    byol = build_learner(IMAGE_METHODS["byol"])
    orl = build_learner({**ORL, "intra_weight": 0.0, "inter_weight": 0.0})
    orl.load_state_dict(
        orl.state_dict() | {k.replace(".byol.", ".orl."): v for k, v in byol.state_dict().items()}
    )
    torch.testing.assert_close(
        losses_of(orl, orl_data(6))["orl"], losses_of(byol, random_data(6))["byol"]
    )


def test_learns_and_every_online_parameter_gets_a_gradient():
    learner = build_learner(ORL)
    losses_of(learner, orl_data(8))["loss_orl"].backward()
    for name, parameter in learner.named_parameters():
        has_gradient = parameter.grad is not None and bool(parameter.grad.any())
        assert has_gradient == parameter.requires_grad, name
    learner.zero_grad()
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=0.05, momentum=0.9))
    history = [learner.train_step(orl_data(8), wrapper) for _ in range(30)]
    for term in ("orl_image_similarity", "orl_intra_similarity", "orl_inter_similarity"):
        assert history[-1][term] > history[0][term] + 0.1


def test_keys_come_from_the_target_network():
    learner = build_learner(ORL)
    data = orl_data(8)
    before = losses_of(learner, data)["orl"]
    with torch.no_grad():
        for parameter in learner.objectives["orl"].target_head.parameters():
            parameter.add_(torch.randn_like(parameter))
    assert not torch.isclose(losses_of(learner, data)["orl"], before)


@pytest.mark.parametrize("other", [*IMAGE_METHODS, "info_nce", "dense_info_nce"])
def test_combines_with_what_looks_at_the_image_views(other):
    method = {**IMAGE_METHODS, "info_nce": info_nce(), "dense_info_nce": dense_info_nce()}[other]
    learner = build_learner(method, {**ORL, "image_weight": 0.0})
    learner.prepare(8, seed=0)
    data = orl_data(8)
    if learner.observed_views:
        learner.observe(copy.deepcopy(data))
    learner.before_epoch(0)
    terms = losses_of(learner, data)
    assert torch.isfinite(terms[f"loss_{other}"]) and torch.isfinite(terms["loss_orl"])


def test_another_image_where_one_is_expected_is_refused():
    many = {**IMAGE_METHODS["swav"], "num_views": 6}
    with pytest.raises(DenseCLError, match="swav compares views of one image, but view 5 shows"):
        losses_of(build_learner(many), orl_data(4))
    with pytest.raises(DenseCLError, match="orl needs an object of another image as view 5"):
        losses_of(build_learner(ORL), random_data(4, views=6))
    data = orl_data(4)
    data["views"][1] = replace(data["views"][1], other_image=True)
    with pytest.raises(DenseCLError, match="dense_info_nce compares.*view 1"):
        losses_of(build_learner(dense_info_nce()), data)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("two_processes"))
    torch.multiprocessing.spawn(orl_learner.run, (folder,), nprocs=2)
    return [torch.load(f"{folder}/rank{rank}.pth", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("norm", orl_learner.NORMS)
def test_two_processes_are_one(ranks, norm):
    same_training(orl_learner.whole(norm), [rank[norm] for rank in ranks])
