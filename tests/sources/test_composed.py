"""Sources of arrays, and sources made of others."""

import os
from pathlib import Path

import numpy as np
import pytest

from dense_cl.sources.arrays import ArraySource
from dense_cl.sources.base import ImageSource
from dense_cl.sources.chain import Chain
from dense_cl.sources.files import FileSource
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


def test_stamps_tell_every_file_that_changes(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(1100)]  # more than a fingerprint looks at
    for name in names:
        (tmp_path / name).write_bytes(b"same size")
    files = FileSource(tmp_path, names)
    sources: list[ImageSource] = [files, Selection(files, [3, 1]), Chain([files, numbered(2, "a")])]
    sources.append(Selection(sources[-1], [0]))
    before = [(source.stamp(), source.fingerprint()) for source in sources]
    status = os.stat(tmp_path / "7.png")
    (tmp_path / "7.png").write_bytes(b"same_size")  # as rsync -t and cp -p leave it behind
    os.utime(tmp_path / "7.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    for source, (stamp, fingerprint) in zip(sources, before, strict=True):
        assert source.stamp() != stamp and source.fingerprint() == fingerprint
    assert Selection(files, [3, 1]).stamp() != Selection(files, [1, 3]).stamp()
    assert numbered(2, "a").stamp() == numbered(2, "a").fingerprint()
