"""Schedules: the authors' momentum curve, closed forms and refusals."""

import pytest

from dense_cl.errors import DenseCLError
from dense_cl.models.schedule import schedule_value


@pytest.mark.parametrize("case", [1, 2])
def test_cosine_golden(golden, case):
    data = golden(f"momentum_schedule_{case}")
    schedule = {"kind": "cosine", "start": float(data["base_momentum"]), "end": 1.0}
    total = int(data["total_steps"])
    mine = [schedule_value(schedule, int(step), total) for step in data["steps"]]
    assert mine == pytest.approx(data["expected_momentum"].tolist(), rel=1e-12)


def test_number_is_constant():
    assert schedule_value(0.5, 7, 0) == 0.5


def test_step_switches_at_its_step():
    schedule = {"kind": "step", "before": 1.0, "after": 0.5, "at": 1000}
    assert [schedule_value(schedule, k, 0) for k in (0, 999, 1000, 9999)] == [1.0, 1.0, 0.5, 0.5]


def test_linear_ends_and_holds():
    schedule = {"kind": "linear", "start": 0.0, "end": 2.0, "steps": 4}
    assert [schedule_value(schedule, k, 100) for k in (0, 1, 4, 50)] == [0.0, 0.5, 2.0, 2.0]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"kind": "cosin", "start": 0, "end": 1}, "Did you mean 'cosine'"),
        ({"kind": "step", "before": 0, "after": 1, "att": 3}, "Did you mean 'at'"),
        ({"kind": "linear", "start": 0}, "needs end"),
        ({"kind": "cosine", "start": 0, "end": 1}, "length of the run is unknown"),
        ("half", "not a number"),
    ],
)
def test_refusals(schedule, message):
    with pytest.raises(DenseCLError, match=message):
        schedule_value(schedule, 0, 0)
