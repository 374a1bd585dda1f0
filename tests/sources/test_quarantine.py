"""The quarantine list: distinct, shared, resumable, and with a limit."""

import json
import multiprocessing
import threading
from pathlib import Path

import pytest

from dense_cl.errors import DenseCLError
from dense_cl.sources import Quarantine


def entries(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_listed_once_and_reloaded(tmp_path: Path) -> None:
    path = tmp_path / "run" / "quarantine.jsonl"
    quarantine = Quarantine(path, total=100)
    assert not path.exists()
    for name in ("a.jpg", "b.jpg", "a.jpg"):
        quarantine.add(name, "empty file")
    want = [{"file": "a.jpg", "reason": "empty file"}, {"file": "b.jpg", "reason": "empty file"}]
    assert entries(path) == want and quarantine.count == 2
    resumed = Quarantine(path, total=100)
    assert resumed.count == 2
    resumed.add("b.jpg", "empty file")
    assert entries(path) == want


def test_limit_is_a_share_of_the_total(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "q.jsonl", total=100, limit=0.05)
    for number in range(5):
        quarantine.add(f"{number}.jpg", "truncated")
    with pytest.raises(DenseCLError, match=r"6 of 100 .* 5.0% \(most often: truncated\).*q.jsonl"):
        quarantine.add("5.jpg", "empty file")
    assert len(entries(tmp_path / "q.jsonl")) == 6
    with pytest.raises(DenseCLError, match="6 of 100"):  # a resumed run stops as well
        Quarantine(tmp_path / "q.jsonl", total=100).add("0.jpg", "truncated")
    with pytest.raises(DenseCLError, match="not a share"):
        Quarantine(tmp_path / "q.jsonl", total=100, limit=5)


def test_limit_of_a_stream_is_a_share_of_what_was_seen(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "q.jsonl", total=None, limit=0.1)
    for number in range(30):
        quarantine.add(f"{number}.jpg", "truncated")
    quarantine.seen(199)  # too early to tell
    with pytest.raises(DenseCLError, match="30 of 200"):
        quarantine.seen(1)
    resumed = Quarantine(tmp_path / "q.jsonl", total=None, limit=0.1)
    resumed.seen(250)  # what is known from before says nothing about the images of this run
    resumed.add("new.jpg", "truncated")
    assert resumed.count == 31


def test_line_torn_by_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"file": "a.jpg", "reason": "empty file"}\n{"file": "b.j')
    quarantine = Quarantine(path, total=100)
    assert quarantine.count == 1
    quarantine.add("c.jpg", "empty file")
    assert Quarantine(path, total=100).count == 2


def _add_many(path: Path, offset: int) -> None:
    quarantine = Quarantine(path, total=10_000)
    for number in range(100):
        quarantine.add(f"{offset + number}.jpg", "x" * 200)


def test_processes_share_the_list(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_add_many, args=(path, 50 * k)) for k in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sorted(entry["file"] for entry in entries(path)) == sorted(
        f"{number}.jpg" for number in range(200)
    )


def test_threads_share_an_object(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path / "q.jsonl", total=10_000)

    def add(offset: int) -> None:
        for number in range(50):
            quarantine.add(f"{offset + number}.jpg", "empty file")

    threads = [threading.Thread(target=add, args=(25 * k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert quarantine.count == len(entries(tmp_path / "q.jsonl")) == 100


def test_a_list_that_begins_anew_is_read_anew(tmp_path: Path) -> None:
    first, second = (Quarantine(tmp_path / "q.jsonl", total=1000) for _ in range(2))
    first.add("a_long_name.jpg", "empty file")
    (tmp_path / "q.jsonl").unlink()  # another process moved it aside for a new run
    second.add("b.jpg", "empty file")
    first.add("c.jpg", "empty file")
    assert len((tmp_path / "q.jsonl").read_text().splitlines()) == 2
