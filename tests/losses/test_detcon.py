"""DetCon's loss: the authors' numbers, a slow transcription, and regions that are not there."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.losses.detcon import detcon

CLOSE = {"rtol": 1e-8, "atol": 1e-12}


def inputs(data):
    stacked = {}
    for kind in ("pred", "target"):
        stacked[kind] = torch.stack([torch.tensor(data[f"{kind}{v}"]) for v in (1, 2)])
    ids = torch.stack([torch.tensor(data[f"region_id_view{v}"]) for v in (1, 2)])
    return stacked["pred"].requires_grad_(), stacked["target"], ids, float(data["temperature"])


@pytest.mark.parametrize("case", [1, 2])
@pytest.mark.parametrize("local", [True, False])
def test_b_golden(golden, case, local):
    data = golden(f"detcon_{case}")
    prediction, target, ids, temperature = inputs(data)
    loss = detcon(prediction, target, ids, temperature, local_negatives=local).loss
    loss.backward()
    suffix = "" if local else "_no_local_negatives"
    expected = float(data[f"expected_detconB_loss{suffix}"])
    torch.testing.assert_close(loss.item(), expected, rtol=1e-8, atol=0)
    for view in (0, 1):
        expected = torch.tensor(data[f"expected_detconB_grad_pred{view + 1}{suffix}"])
        torch.testing.assert_close(prediction.grad[view], expected, **CLOSE)


@pytest.mark.parametrize("case", [1, 2])
def test_s_golden(golden, case):
    """Predictions are the targets, and receive both gradients."""
    data = golden(f"detcon_{case}")
    prediction, _, ids, temperature = inputs(data)
    loss = detcon(prediction, prediction, ids, temperature).loss
    loss.backward()
    expected = float(data["expected_detconS_loss"])
    torch.testing.assert_close(loss.item(), expected, rtol=1e-8, atol=0)
    for view in (0, 1):
        expected = torch.tensor(data[f"expected_detconS_grad_pred{view + 1}"])
        torch.testing.assert_close(prediction.grad[view], expected, **CLOSE)


def slow(prediction, target, ids, temperature, local_negatives):
    """One query at a time, as the paper tells it."""
    prediction, target = F.normalize(prediction, dim=-1), F.normalize(target, dim=-1)
    _, images, regions, _ = prediction.shape
    total = torch.zeros((), dtype=prediction.dtype)
    for v, b, m in torch.cartesian_prod(*(torch.arange(n) for n in ids.shape)).tolist():
        if ids[v, b, m] < 0:
            continue
        positives, candidates = [], []
        for u, c, n in torch.cartesian_prod(*(torch.arange(n) for n in ids.shape)).tolist():
            if ids[u, c, n] < 0:
                continue
            logit = prediction[v, b, m] @ target[u, c, n] / temperature
            same = c == b and ids[u, c, n] == ids[v, b, m]
            if same and u == v:
                continue
            if same:
                positives.append(logit)
            elif c == b and not local_negatives:
                continue
            candidates.append(logit)
        if positives:
            row = torch.stack(candidates).logsumexp(0) - torch.stack(positives).mean()
            total = total + row / (ids[v, b] == ids[v, b, m]).sum()
    return total / (images * regions)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000),
    images=st.integers(1, 4),
    regions=st.integers(1, 4),
    local=st.booleans(),
)
def test_equals_a_slow_transcription_with_empty_places(seed, images, regions, local):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, images, regions)
    prediction, target = torch.randn(2, *shape, 6, dtype=torch.float64, generator=generator)
    ids = torch.randint(-1, 3, shape, generator=generator)
    prediction.requires_grad_()
    fast = detcon(prediction, target, ids, 0.3, local_negatives=local).loss
    expected = slow(prediction, target, ids, 0.3, local)
    torch.testing.assert_close(fast, expected, **CLOSE)
    if expected.requires_grad:
        gradients = [torch.autograd.grad(loss, prediction)[0] for loss in (fast, expected)]
        torch.testing.assert_close(*gradients, **CLOSE)


def test_two_regions_by_hand():
    """One image, two orthogonal regions in both views: one negative of each view."""
    vectors = torch.eye(2, dtype=torch.float64).expand(2, 1, 2, 2)
    ids = torch.tensor([[[0, 1]], [[0, 1]]])
    terms = detcon(vectors, vectors, ids, 0.5)
    # logsumexp(2, 0, 0) - 2 for each of two queries of each of two views.
    expected = 2 * math.log(1 + 2 * math.exp(-2))
    assert terms.loss.item() == pytest.approx(expected)
    assert terms.positive_similarity.item() == pytest.approx(1.0)
    assert terms.matched == 1


def test_a_region_drawn_twice_counts_once():
    prediction = torch.randn(2, 3, 2, 5, dtype=torch.float64)
    ids = torch.tensor([[[0, 1]] * 3] * 2)
    once = detcon(prediction, prediction, ids, 0.2).loss
    # The same two regions, the first of them drawn twice: negatives are repeated, weights not.
    order = [0, 0, 1]
    repeated = detcon(prediction[:, :, order], prediction[:, :, order], ids[:, :, order], 0.2)
    rows = slow(prediction[:, :, order], prediction[:, :, order], ids[:, :, order], 0.2, True)
    torch.testing.assert_close(repeated.loss, rows)
    assert repeated.matched == 1 and not torch.isclose(once, repeated.loss)


@pytest.mark.parametrize("ids", [[[[0]], [[1]]], [[[-1]], [[-1]]]])
@pytest.mark.parametrize("local", [True, False])
def test_nothing_in_common_gives_exactly_zero(ids, local):
    prediction = torch.randn(2, 1, 1, 4, requires_grad=True)
    terms = detcon(prediction, prediction, torch.tensor(ids), 0.1, local_negatives=local)
    terms.loss.backward()
    assert terms.loss == 0 and terms.matched == 0 and terms.positive_similarity == 0
    assert torch.equal(prediction.grad, torch.zeros_like(prediction))


def test_a_share_of_the_batch_against_all_of_it():
    """Two processes with two images each: the mean of their losses is that of four images."""
    prediction, target = torch.randn(2, 2, 4, 3, 5, dtype=torch.float64)
    ids = torch.randint(0, 3, (2, 4, 3))
    whole = detcon(prediction, target, ids, 0.2).loss
    parts = [
        detcon(prediction[:, s : s + 2], target, ids[:, s : s + 2], 0.2, ids, s).loss
        for s in (0, 2)
    ]
    torch.testing.assert_close(sum(parts) / 2, whole, **CLOSE)


def test_autocast_does_not_reach_it():
    """Logits of up to 1 / 0.1 in bfloat16 would be off by 0.03."""
    prediction, target = torch.randn(2, 2, 8, 4, 32)
    ids = torch.randint(0, 3, (2, 8, 4))
    expected = detcon(prediction, target, ids, 0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = detcon(prediction, target, ids, 0.1)
    assert terms.loss.dtype == torch.float32
    torch.testing.assert_close(terms, expected, rtol=1e-6, atol=1e-6)
