"""BYOL's and SimSiam's loss: the peers' numbers and a closed form."""

import pytest
import torch

from dense_cl.losses.negative_cosine import negative_cosine


@pytest.mark.parametrize("case", [1, 2])
def test_golden(golden, case):
    data = golden(f"byol_simsiam_cosine_{case}")
    predictions = [torch.tensor(data[f"prediction{v}"], requires_grad=True) for v in (0, 1)]
    targets = [torch.tensor(data[f"target{v}"]) for v in (0, 1)]
    pairs = [negative_cosine(p, t) for p, t in zip(predictions, targets[::-1], strict=True)]
    for loss, name in zip(pairs, ("p0_t1", "p1_t0"), strict=True):
        expected = float(data[f"expected_neg_cosine_{name}"])
        torch.testing.assert_close(loss.item(), expected, rtol=1e-8, atol=0)
        byol = float(data[f"expected_byol_loss_{name}"])
        torch.testing.assert_close((2 + 2 * loss).item(), byol, rtol=1e-8, atol=0)
    (sum(pairs) / 2).backward()
    for v in (0, 1):
        expected = torch.tensor(data[f"expected_simsiam_grad_prediction{v}"])
        torch.testing.assert_close(predictions[v].grad, expected, rtol=1e-8, atol=1e-12)


def test_scale_does_not_matter_and_opposite_is_plus_one():
    vectors = torch.tensor([[1.0, 2.0], [-3.0, 0.5]])
    assert negative_cosine(vectors, 5 * vectors).item() == pytest.approx(-1)
    assert negative_cosine(vectors, -0.1 * vectors).item() == pytest.approx(1)
