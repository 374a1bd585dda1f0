"""queue_logsumexp against torch.logsumexp, and what it keeps in memory."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.losses.queue_logsumexp import queue_logsumexp, tile_for


def case(rows: int, queue: int, channels: int = 5, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(rows * 1000 + queue)
    query = torch.randn(rows, channels, dtype=dtype, generator=generator)
    return query, torch.randn(queue, channels, dtype=dtype, generator=generator)


@settings(deadline=None, max_examples=30)
@given(
    rows=st.integers(1, 9),
    queue=st.integers(1, 12),
    tile=st.tuples(st.integers(1, 10), st.integers(1, 13)),
)
def test_equals_torch_for_any_tile(rows, queue, tile):
    query, negatives = case(rows, queue)
    query.requires_grad_(True)
    logsumexp, largest = queue_logsumexp(query, negatives, 0.3, tile)
    logits = query @ negatives.T / 0.3
    upstream = torch.arange(1.0, rows + 1, dtype=torch.float64)
    torch.testing.assert_close(logsumexp, logits.logsumexp(1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(largest, logits.amax(1), rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad(logsumexp @ upstream, query)
    (expected,) = torch.autograd.grad(logits.logsumexp(1) @ upstream, query)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


def test_gradcheck():
    query, negatives = case(4, 7)
    query.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda q: queue_logsumexp(q, negatives, 0.2, (3, 2))[0], query)


def test_does_not_overflow_at_a_low_temperature():
    query, negatives = case(3, 6, dtype=torch.float32)
    logsumexp, largest = queue_logsumexp(query, negatives, 1e-4)
    assert largest.abs().min() > 88  # exp of it is infinite in float32
    torch.testing.assert_close(logsumexp, largest)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_sums_in_float32(dtype):
    """A half-precision sum of 5000 terms near 1 would stop growing at 256 (bfloat16)."""
    query, negatives = case(3, 5000, dtype=torch.float32)
    query.mul_(1e-3).requires_grad_(True)
    with torch.autocast("cpu", dtype=dtype):
        logsumexp, _ = queue_logsumexp(query, negatives, 1.0)
    assert logsumexp.dtype == torch.float32
    torch.testing.assert_close(logsumexp, (query @ negatives.T).logsumexp(1), rtol=1e-3, atol=1e-3)
    (gradient,) = torch.autograd.grad(logsumexp.sum(), query)
    (expected,) = torch.autograd.grad((query @ negatives.T).logsumexp(1).sum(), query)
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(gradient, expected, rtol=0.05, atol=2e-3)


def test_no_gradient_to_the_queue_nor_through_the_maximum():
    query, negatives = case(2, 3)
    query.requires_grad_(True)
    negatives.requires_grad_(True)
    logsumexp, largest = queue_logsumexp(query, negatives, 1.0)
    assert not largest.requires_grad
    logsumexp.sum().backward()
    assert negatives.grad is None


@pytest.mark.parametrize("queries", [0, 32, 1568, 12_544])
def test_a_tile_of_another_device_is_as_large_as_256_mb_allow(queries):
    rows, columns = tile_for(queries, "cuda", torch.bfloat16)
    assert 2**28 - 2 * rows < 2 * rows * columns <= 2**28
    assert rows == max(1, min(queries, 4096))


def test_never_allocates_a_row_by_queue_matrix():
    """At most a few tiles at one time, and N x D kept for the backward pass."""
    rows, queue, channels, tile = 512, 4096, 16, (32, 512)
    query, negatives = case(rows, queue, channels, torch.float32)
    query.requires_grad_(True)
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.profiler.profile(profile_memory=True) as profile:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logsumexp, _ = queue_logsumexp(query, negatives, 0.2, tile)
        logsumexp.sum().backward()
    balance = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            balance += event.nbytes()
            peak = max(peak, balance)
    assert kept == [rows * channels]
    assert 0 < peak < rows * queue * 4 / 16
