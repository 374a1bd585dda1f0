"""SlotCon's three pieces: the authors' numbers, closed forms, and weights."""

import math

import pytest
import torch
import torch.nn.functional as F

from dense_cl.losses.assignment_prediction import assignment_prediction, centred_assignment
from dense_cl.losses.slots import active_slots, group_into_slots, slot_contrast

CLOSE = {"rtol": 1e-8, "atol": 1e-12}


@pytest.mark.parametrize("case", [1, 2])
def test_grouping_golden(golden, case):
    data = golden(f"slotcon_grouping_{case}")
    t = {name: torch.tensor(value) for name, value in data.items()}
    features, prototypes = t["features"].requires_grad_(), t["slot_embeddings"].requires_grad_()
    slots, scores = group_into_slots(
        features, prototypes, float(data["temperature"]), float(data["eps"])
    )
    torch.testing.assert_close(slots, t["expected_slots"], **CLOSE)
    torch.testing.assert_close(scores, t["expected_dots"], **CLOSE)
    ((slots * t["upstream_grad_slots"]).sum() + (scores * t["upstream_grad_dots"]).sum()).backward()
    torch.testing.assert_close(features.grad, t["expected_grad_features"], **CLOSE)
    torch.testing.assert_close(prototypes.grad, t["expected_grad_slot_embeddings"], **CLOSE)


def test_places_like_one_prototype_become_its_slot():
    """Two kinds of places, far colder than their difference: slots are their plain means."""
    left, right = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    features = torch.stack([left, 3 * left, 2 * right, 4 * right], dim=1).reshape(1, 2, 2, 2)
    prototypes = torch.stack([5 * left, right, -left - right])
    slots, scores = group_into_slots(features, prototypes, 0.01, epsilon=0.0)
    torch.testing.assert_close(slots[0, :2], torch.stack([2 * left, 3 * right]))
    assert scores[0, 0].flatten().tolist() == [1, 1, 0, 0]
    assert active_slots(scores).tolist() == [[True, True, False]]


@pytest.mark.parametrize("case", [1, 2])
def test_distillation_golden(golden, case):
    data = golden(f"slotcon_distill_{case}")
    student = torch.tensor(data["student_scores"], requires_grad=True)
    teacher, center = torch.tensor(data["teacher_scores"]), torch.tensor(data["center"])
    assignment = centred_assignment(teacher, center, float(data["teacher_temp"]))
    loss = assignment_prediction(student, assignment, float(data["student_temp"]))
    loss.backward()
    torch.testing.assert_close(loss.item(), float(data["expected_loss"]), rtol=1e-8, atol=0)
    torch.testing.assert_close(
        student.grad, torch.tensor(data["expected_grad_student_scores"]), **CLOSE
    )


def test_weights_choose_the_places():
    scores = torch.tensor([[2.0, 0.0], [0.0, 0.0]], requires_grad=True)
    assignment = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    first = assignment_prediction(scores, assignment, 1.0, torch.tensor([True, False]))
    assert first.item() == pytest.approx(math.log(1 + math.exp(-2)))
    both = assignment_prediction(scores, assignment, 1.0)
    assert both.item() == pytest.approx((math.log(1 + math.exp(-2)) + math.log(2)) / 2)
    none = assignment_prediction(scores, assignment, 1.0, torch.zeros(2))
    none.backward()
    assert none == 0 and torch.equal(scores.grad, torch.zeros(2, 2))


def test_the_center_evens_out_what_all_places_share():
    scores = torch.randn(50, 4, dtype=torch.float64) + torch.tensor([5.0, 0.0, 0.0, 0.0])
    plain = centred_assignment(scores, torch.zeros(4), 0.5)
    centred = centred_assignment(scores, scores.mean(dim=0), 0.5)
    assert (plain.argmax(dim=1) == 0).all()
    assert centred.argmax(dim=1).unique().tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(centred.sum(dim=1), torch.ones(50).double())


@pytest.mark.parametrize("case", [1, 2])
def test_slot_contrast_golden(golden, case):
    data = golden(f"slotcon_slot_contrast_{case}")
    t = {name: torch.tensor(value) for name, value in data.items()}
    queries, weight = t["query_slots"].requires_grad_(), t["predictor_weight"].requires_grad_()
    active_query, active_key = active_slots(t["query_dots"]), active_slots(t["key_dots"])
    assert torch.equal(active_query, t["expected_active_query_slots"])
    assert torch.equal(active_key, t["expected_active_key_slots"])
    both = active_query & active_key
    positive = (active_key.flatten().cumsum(0) - 1)[both.flatten()]
    prediction = F.linear(queries[both], weight)
    loss = slot_contrast(
        prediction, t["key_slots"][active_key], positive, float(data["temperature"])
    )
    loss.backward()
    torch.testing.assert_close(loss.item(), float(data["expected_loss"]), rtol=1e-8, atol=0)
    torch.testing.assert_close(queries.grad, t["expected_grad_query_slots"], **CLOSE)
    torch.testing.assert_close(weight.grad, t["expected_grad_predictor_weight"], **CLOSE)


def test_autocast_does_not_reach_the_contrast():
    prediction, keys = torch.randn(12, 32), torch.randn(20, 32)
    expected = slot_contrast(prediction, keys, torch.arange(12), 0.2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = slot_contrast(prediction, keys, torch.arange(12), 0.2)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
