"""Checkpoint files survive a crash at any point and never run code."""

import contextlib
import os
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from dense_cl.engine.checkpoint import (
    FOLDER,
    CorruptCheckpointError,
    UnsafeCheckpointError,
    find_checkpoints,
    load_checkpoint,
    remove_old,
    save_checkpoint,
    write_pointer,
)
from dense_cl.engine.state import restore_rng_state, rng_state
from dense_cl.errors import DenseCLError


class Evil:
    """Unpickling it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def evil_pickle(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps({"state_dict": Evil(marker)}))


def evil_archive(path: Path, marker: Path) -> None:
    torch.save({"state_dict": {}, "meta": Evil(marker)}, path)


@pytest.mark.parametrize("write", [evil_pickle, evil_archive])
def test_code_is_refused_by_name_and_not_run(tmp_path: Path, write) -> None:
    path, marker = tmp_path / "evil.pth", tmp_path / "marker"
    write(path, marker)
    with contextlib.suppress(RuntimeError):  # a bare pickle has run by the time it is refused
        torch.load(path, weights_only=False)
    assert marker.exists(), "the attack itself must work, or this proves nothing"
    marker.unlink()
    with pytest.raises(UnsafeCheckpointError, match=r"evil.pth' is refused.*system"):
        load_checkpoint(path)
    assert not marker.exists()


def test_harmless_objects_are_refused_too(tmp_path: Path) -> None:
    torch.save({"meta": Path("somewhere")}, tmp_path / "object.pth")
    with pytest.raises(UnsafeCheckpointError, match="object.pth"):
        load_checkpoint(tmp_path / "object.pth")


def valid(path: Path) -> Path:
    return save_checkpoint({"state_dict": {"w": torch.randn(64, 64)}, "meta": {"a": [1]}}, path)


@pytest.mark.parametrize("keep", [0, 1, 100, 4000, -1])
def test_truncation_is_named(tmp_path: Path, keep: int) -> None:
    path = valid(tmp_path / "cut.pth")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptCheckpointError, match="cut.pth"):
        load_checkpoint(path)


def test_a_flipped_bit_in_the_weights_is_noticed(tmp_path: Path) -> None:
    path = valid(tmp_path / "bit.pth")
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        data = next(entry for entry in archive.infolist() if entry.filename.endswith("data/0"))
    content[data.header_offset + 8000] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptCheckpointError, match="bit.pth"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0 JPEG", b"# text\n", b"\x00" * 1000])
def test_other_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "photo.pth"
    path.write_bytes(content)
    with pytest.raises(DenseCLError, match="photo.pth"):
        load_checkpoint(path)


def test_absent_and_listed(tmp_path: Path) -> None:
    with pytest.raises(DenseCLError, match="does not exist"):
        load_checkpoint(tmp_path / "absent.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CorruptCheckpointError, match="holds a list"):
        load_checkpoint(tmp_path / "list.pth")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch, step: str) -> None:
    path = save_checkpoint({"value": torch.tensor(1)}, tmp_path / "state.pth")

    def crash(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, step, crash)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint({"value": torch.tensor(2)}, path)
    monkeypatch.undo()
    assert load_checkpoint(path)["value"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["state.pth"]


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"checkpoint\['a'\]\[1\] is a set"):
        save_checkpoint({"a": [1, {2}]}, tmp_path / "x.pth")
    assert list(tmp_path.iterdir()) == []


def test_numbers_and_views_become_plain(tmp_path: Path) -> None:
    view = torch.zeros(1_000_000)[:10]
    path = save_checkpoint({"n": np.float64(0.5), "i": np.int64(3), "view": view}, tmp_path / "x")
    content = load_checkpoint(path)
    assert (type(content["n"]), type(content["i"])) == (float, int)
    assert path.stat().st_size < 10_000


def test_rng_state_survives_the_file(tmp_path: Path) -> None:
    def draw() -> tuple:
        return torch.rand(3).tolist(), np.random.rand(), random.random(), np.random.normal()

    np.random.normal()  # leaves a spare gaussian behind
    path = save_checkpoint(rng_state(), tmp_path / "rng.pth")
    expected = draw()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    restore_rng_state(load_checkpoint(path))
    assert draw() == expected


def test_latest_comes_first_and_old_ones_go(tmp_path: Path) -> None:
    for iteration in (2, 10, 9):
        valid(tmp_path / FOLDER / f"iter_{iteration}.pth")
    names = [path.name for path in find_checkpoints(tmp_path)]
    assert names == ["iter_10.pth", "iter_9.pth", "iter_2.pth"]
    write_pointer(tmp_path, tmp_path / FOLDER / "iter_9.pth")
    (tmp_path / FOLDER / ".iter_11.pth.77.tmp").write_bytes(b"killed writer")
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert [path.name for path in find_checkpoints(moved)][0] == "iter_9.pth"
    remove_old(moved, keep=2)
    left = sorted(path.name for path in (moved / FOLDER).iterdir())
    assert left == ["iter_10.pth", "iter_9.pth"]
