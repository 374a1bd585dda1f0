"""Every method trains as it did when its curve was committed, to the last bit."""

import json
import platform

import pytest
import torch
from learners import METHODS
from loss_curves import FILE, STEPS, curves
from region_learners import REGION_METHODS

ALL = [*METHODS, *REGION_METHODS]
COMMITTED = json.loads(FILE.read_text())
MADE_WITH = f"{COMMITTED['torch']} on x86_64"


@pytest.fixture(scope="module")
def now() -> dict[str, list[float]]:
    found = f"{torch.__version__.split('+')[0]} on {platform.machine()}"
    if found != MADE_WITH:
        pytest.skip(f"the curves are of torch {MADE_WITH}, this is {found}")
    return curves()


def test_every_method_has_a_curve() -> None:
    assert list(COMMITTED["curves"]) == ALL


@pytest.mark.parametrize("method", ALL)
def test_curve_is_the_committed_one(method: str, now: dict[str, list[float]]) -> None:
    assert len(now[method]) == STEPS
    assert now[method] == COMMITTED["curves"][method], (
        "If the change was meant: python tests/models/loss_curves.py --write"
    )
