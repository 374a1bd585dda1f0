"""On a GPU every objective computes what it computes on the CPU."""

import copy

import pytest
import torch
from learners import (
    BOX_METHODS,
    IMAGE_METHODS,
    PIXEL_METHODS,
    attention,
    begin,
    build_learner,
    info_nce,
)
from learners import dense_info_nce as dense
from mmengine.optim import OptimWrapper
from orl_learner import ORL, orl_data
from region_learners import REGION_METHODS, region_data

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
METHODS = {
    **{name: [objective] for name, objective in IMAGE_METHODS.items()},
    **{name: [objective] for name, objective in PIXEL_METHODS.items()},
    **{name: [objective] for name, objective in BOX_METHODS.items()},
    **{name: [objective] for name, objective in REGION_METHODS.items()},
    "moco_v2": [info_nce()],
    "densecl": [info_nce(weight=0.5), dense(weight=0.5)],
    "densecl_mutual": [dense("MutualNearest")],
    "densecl_geometric": [dense("GeometricNearest")],
    "cast": [info_nce(), attention()],
    "cast_byol": [IMAGE_METHODS["byol"], attention()],
    "orl": [ORL],
}


@pytest.mark.parametrize("name", METHODS)
def test_three_steps_are_the_same_on_both(name):
    data = orl_data(6) if name == "orl" else region_data(6)
    here = build_learner(*METHODS[name])
    there = copy.deepcopy(here).cuda()
    logged = [trained(learner, data) for learner in (here, there)]
    assert logged[0].keys() == logged[1].keys()
    for term, value in logged[0].items():
        assert value == pytest.approx(logged[1][term], rel=1e-6, abs=1e-9), term
    for key, value in here.state_dict().items():
        torch.testing.assert_close(there.state_dict()[key].cpu(), value, rtol=1e-6, atol=1e-9)


def trained(learner, data):
    """Take three steps; the last one's terms see the banks and EMA copies of the others."""
    torch.manual_seed(1)
    begin(learner, data)
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=1e-2))
    for _ in range(3):
        logged = learner.train_step(data, wrapper)
    return {term: float(value) for term, value in logged.items()}
