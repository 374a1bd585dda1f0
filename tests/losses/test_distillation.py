"""Distillation: closed forms, gradient and invariances."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dense_cl.losses.distillation import distillation

LOGITS = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_closed_form_of_two_classes():
    """Teacher 3:1, student 1:1: ln 2; the teacher's entropy is what the divergence leaves out."""
    teacher = torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64)
    terms = distillation(torch.zeros_like(teacher), teacher, temperature=1.0)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert terms.loss.item() == pytest.approx(math.log(2))
    assert terms.divergence.item() == pytest.approx(math.log(2) - entropy)


def test_temperature_sharpens_both():
    """At temperature t logits count as if divided by it."""
    teacher = LOGITS.flip(0)
    halved = distillation(LOGITS / 0.5, teacher / 0.5, 1.0)
    torch.testing.assert_close(distillation(LOGITS, teacher, 0.5).loss, halved.loss)


def test_gradient_is_the_difference_of_probabilities_and_spares_the_teacher():
    student, teacher = LOGITS.clone().requires_grad_(), LOGITS.flip(0).clone().requires_grad_()
    distillation(student, teacher, 2.0).loss.backward()
    difference = (student / 2).softmax(1) - (teacher / 2).softmax(1)
    torch.testing.assert_close(student.grad, difference.detach() / (2.0 * len(student)))
    assert teacher.grad is None


def test_agreement_counts_equal_classes():
    student = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 1.0]])
    teacher = torch.tensor([[9.0, 0.0], [9.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    assert distillation(student, teacher, 1.0).agreement.item() == 0.75


@given(st.integers(0, 1000), st.floats(0.1, 5.0), st.floats(-3, 3))
def test_divergence_is_least_where_the_student_is_the_teacher(seed, temperature, shift):
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(3, 4, dtype=torch.float64, generator=generator)
    other = torch.randn(3, 4, dtype=torch.float64, generator=generator)
    same = distillation(teacher + shift, teacher, temperature)
    assert abs(same.divergence.item()) < 1e-9 and same.agreement == 1
    assert distillation(other, teacher, temperature).divergence > same.divergence


def test_half_precision_is_computed_in_float32():
    logits = torch.randn(2, 64, 100, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        half = distillation(logits[0], logits[1], 0.5)
    exact = distillation(logits[0].double(), logits[1].double(), 0.5)
    for value, expected in zip(half, exact, strict=True):
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-6)
