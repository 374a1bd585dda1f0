"""Sources of arrays, and sources made of others."""

import numpy as np
import pytest

from dense_cl.sources.arrays import ArraySource
from dense_cl.sources.chain import Chain
from dense_cl.sources.selection import Selection


def numbered(count: int, title: str, start: int = 0) -> ArraySource:
    levels = np.arange(start, start + count, dtype=np.uint8)
    return ArraySource(np.broadcast_to(levels[:, None, None, None], (count, 4, 5, 3)), title)


def test_a_chain_keeps_the_order_and_a_selection_takes_its_own() -> None:
    chain = Chain([numbered(2, "a"), numbered(1, "b", 10), numbered(3, "c", 20)])
    assert [chain.load(i)[0, 0, 0] for i in range(len(chain))] == [0, 1, 10, 20, 21, 22]
    assert [chain.name(i) for i in (1, 2, 3)] == ["a/1", "b/0", "c/0"]
    chosen = Selection(chain, [5, 0, 2])
    assert [int(chosen.load(i)[0, 0, 0]) for i in range(len(chosen))] == [22, 0, 10]
    assert chosen.name(0) == "c/2"
    assert chosen.load(0).flags.c_contiguous
    with pytest.raises(IndexError):
        chain.load(6)


def test_fingerprints_tell_content_and_order_apart() -> None:
    first, second = numbered(2, "a"), numbered(2, "a", 1)
    assert first.fingerprint() == numbered(2, "other title").fingerprint()
    assert first.fingerprint() != second.fingerprint()
    assert Chain([first, second]).fingerprint() != Chain([second, first]).fingerprint()
    chosen = [Selection(first, order).fingerprint() for order in ([0, 1], [1, 0], [0, 1])]
    assert chosen[0] == chosen[2] != chosen[1]
