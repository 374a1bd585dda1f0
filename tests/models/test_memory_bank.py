"""The queue against a deque, for any sequence of batch sizes."""

from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_cl.errors import DenseCLError
from dense_cl.models.memory_bank import MemoryBank


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 9), batches=st.lists(st.integers(0, 25), max_size=8))
def test_is_a_ring_that_keeps_the_newest(size, batches):
    bank = MemoryBank(size, 2)
    newest: deque[float] = deque(maxlen=size)
    count = 0
    for batch in batches:
        values = torch.arange(count, count + batch, dtype=torch.float32)
        bank.enqueue(values[:, None].expand(-1, 2))
        newest.extend(values.tolist())
        count += batch
        assert int(bank.filled) == len(newest)
        assert int(bank.pointer) == count % size
    kept = min(count, size)
    rows = (int(bank.pointer) - kept + torch.arange(kept)) % size  # oldest first
    assert bank.keys[rows, 0].tolist() == list(newest)


@pytest.mark.parametrize("case", [1, 2])
def test_golden_queue(golden, case):
    data = golden(f"moco_infonce_{case}")
    bank = MemoryBank(data["queue"].shape[1], data["queue"].shape[0]).double()
    bank.keys.copy_(torch.tensor(data["queue"]).T)
    bank.pointer.fill_(int(data["queue_ptr"]))
    bank.enqueue(torch.nn.functional.normalize(torch.tensor(data["key_raw"]), dim=1))
    expected = torch.tensor(data["expected_queue_after"]).T
    torch.testing.assert_close(bank.keys, expected, rtol=1e-12, atol=1e-15)
    assert int(bank.pointer) == int(data["expected_queue_ptr_after"])


def test_starts_with_unit_vectors_and_resumes_from_its_state():
    bank = MemoryBank(50, 4)
    torch.testing.assert_close(bank.keys.norm(dim=1), torch.ones(50))
    bank.enqueue(torch.ones(7, 4))
    other = MemoryBank(50, 4)
    other.load_state_dict(bank.state_dict())
    for each in (bank, other):
        each.enqueue(2 * torch.ones(3, 4))
    assert torch.equal(bank.keys, other.keys) and other.filled_fraction == 0.2


def test_empty_bank_is_refused():
    with pytest.raises(DenseCLError, match="queue_size is 0"):
        MemoryBank(0, 4)
