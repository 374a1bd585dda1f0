"""InfoNCE: the authors' numbers, closed forms and gradients."""

import math

import pytest
import torch
import torch.nn.functional as F

from dense_cl.losses.info_nce import info_nce


@pytest.mark.parametrize("case", [1, 2])
def test_golden(golden, case):
    data = golden(f"moco_infonce_{case}")
    query = torch.tensor(data["query_raw"], requires_grad=True)
    queue = torch.tensor(data["queue"]).T
    key, temperature = torch.tensor(data["key_raw"]), float(data["temperature"])
    terms = info_nce(query, key, queue, temperature)
    terms.loss.backward()
    torch.testing.assert_close(terms.loss.item(), float(data["expected_loss"]), rtol=1e-8, atol=0)
    expected = torch.tensor(data["expected_grad_query_raw"])
    torch.testing.assert_close(query.grad, expected, rtol=1e-8, atol=1e-12)
    logits = torch.tensor(data["expected_logits"])
    wins = (logits.argmax(1) == 0).double().mean()
    torch.testing.assert_close(terms.queue_accuracy, wins)
    torch.testing.assert_close(terms.positive_similarity, logits[:, 0].mean() * temperature)


@pytest.mark.parametrize("queue_size", [1, 63, 65536])
def test_indistinguishable_negatives_give_log_of_their_number_plus_one(queue_size):
    same = torch.tensor([[3.0, 4.0]])
    terms = info_nce(same, 2 * same, F.normalize(same).expand(queue_size, 2), 0.2)
    assert terms.loss.item() == pytest.approx(math.log(queue_size + 1), rel=1e-6)
    assert terms.queue_accuracy == 0  # a tie is no win


def test_orthogonal_negatives_closed_form():
    query, negatives = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]).expand(10, 2)
    terms = info_nce(query, query, negatives, 0.5)
    assert terms.loss.item() == pytest.approx(math.log(1 + 10 * math.exp(-2)), rel=1e-6)
    assert terms.positive_similarity == 1 and terms.queue_accuracy == 1


def random_case():
    torch.manual_seed(3)
    query = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    return query, torch.randn(5, 4).double(), F.normalize(torch.randn(7, 4).double())


def test_gradcheck_with_weights():
    query, key, negatives = random_case()
    weight = torch.tensor([0.0, 1.0, 0.5, 2.0, 0.0]).double()
    assert torch.autograd.gradcheck(lambda q: info_nce(q, key, negatives, 0.2, weight).loss, query)


def test_weight_zero_rows_might_as_well_not_be_there():
    query, key, negatives = random_case()
    counted = torch.tensor([True, False, True, True, False])
    weighted = info_nce(query, key, negatives, 0.2, counted)
    without = info_nce(query[counted], key[counted], negatives, 0.2)
    for mine, expected in zip(weighted, without, strict=True):
        torch.testing.assert_close(mine, expected)


def test_no_valid_row_is_exactly_zero_with_zero_gradient():
    query, key, negatives = random_case()
    terms = info_nce(query, key, negatives, 0.2, torch.zeros(5, dtype=torch.bool))
    (1024 * terms.loss).backward()  # as a gradient scaler does
    assert terms.loss == 0 and torch.equal(query.grad, torch.zeros_like(query))


def test_no_gradient_to_the_key():
    query, key, negatives = random_case()
    key.requires_grad_(True)
    info_nce(query, key, negatives, 0.2).loss.backward()
    assert key.grad is None


def test_half_precision_inputs_are_normalised_in_float32():
    query, key, negatives = random_case()
    half = [x.detach().half() for x in (query, key, negatives)]
    expected = info_nce(*(x.float() for x in half), 0.2).loss
    mine = info_nce(half[0], half[1], half[2].float(), 0.2).loss
    assert mine.dtype == torch.float32
    torch.testing.assert_close(mine, expected)
