"""WebDataset shards: every image exactly once, whatever the split; order by seed and epoch."""

import io
import shlex
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dense_cl.errors import DenseCLError
from dense_cl.sources import UnreadableImageError, WebDatasetSource
from tests.sources.images import encode, photo


def write_shard(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Five shards of 4, 5, 6, 7 and 8 images: 30 in all."""
    for shard in range(5):
        members = {}
        for number in range(4 + shard):
            members[f"{shard}_{number}.jpg"] = encode(photo(16, 16, seed=number))
            members[f"{shard}_{number}.json"] = b"{}"
        write_shard(tmp_path / f"train-{shard:03d}.tar", members)
    return tmp_path


def keys(source: WebDatasetSource, *, epoch: int = 0, seed: int = 0, **split: int) -> list[str]:
    names = []
    for name, image in source.iterate(epoch, seed, **split):
        assert isinstance(image, np.ndarray) and image.shape == (16, 16, 3), image
        names.append(name.split("::")[1])
    return names


ALL = Counter(f"{shard}_{number}.jpg" for shard in range(5) for number in range(4 + shard))


@pytest.mark.parametrize("used", [5, 3, 2, 1])
@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (2, 2), (1, 3), (3, 4)])
def test_each_image_exactly_once(shards: Path, used: int, ranks: int, workers: int) -> None:
    pattern = str(shards / f"train-{{000..{used - 1:03d}}}.tar")
    source = WebDatasetSource(pattern, epoch_size=30, shuffle_buffer=3)
    want = Counter({key: 1 for key in ALL if int(key[0]) < used})
    for epoch in range(2):
        met = Counter()
        for rank in range(ranks):
            for worker in range(workers):
                met.update(
                    keys(source, epoch=epoch, rank=rank, world_size=ranks,
                         worker=worker, num_workers=workers)
                )  # fmt: skip
        assert met == want


def test_ranks_get_shards_before_workers(shards: Path) -> None:
    source = WebDatasetSource(str(shards / "train-{000..001}.tar"), epoch_size=9)
    for rank in range(2):  # two shards, four workers: each rank reads from one shard only
        split = {"rank": rank, "world_size": 2, "num_workers": 2}
        names = [keys(source, worker=worker, **split) for worker in range(2)]
        assert len({name[0] for part in names for name in part}) == 1
        assert abs(len(names[0]) - len(names[1])) <= 1


def test_order_depends_on_seed_and_epoch_only(shards: Path) -> None:
    source = WebDatasetSource(str(shards / "train-*.tar"), epoch_size=30, shuffle_buffer=8)
    orders = [keys(source, epoch=e, seed=s) for e, s in [(0, 0), (0, 0), (1, 0), (0, 1)]]
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) == 3
    assert all(Counter(order) == ALL for order in orders)
    in_order = keys(WebDatasetSource(str(shards / "train-000.tar"), 4, shuffle_buffer=0))
    assert in_order == ["0_0.jpg", "0_1.jpg", "0_2.jpg", "0_3.jpg"]


def test_pipes_and_lists(shards: Path) -> None:
    quoted = shlex.quote(str(shards))
    pipe = WebDatasetSource(f"pipe:cat {quoted}/train-{{000..004}}.tar", epoch_size=30)
    assert Counter(keys(pipe)) == ALL
    files = [str(shards / "train-000.tar"), f"file:{shards}/train-001.tar"]
    assert len(keys(WebDatasetSource(files, epoch_size=9))) == 9


def test_broken_images_and_samples_are_yielded_as_errors(tmp_path: Path) -> None:
    members = {
        "a.jpg": encode(photo(16, 16)),
        "b.jpg": encode(photo(16, 16))[:200],
        "c.json": b"{}",
        "d.mask.png": encode(photo(16, 16), "PNG"),
        "d.jpg": b"",
        "e.png": encode(photo(16, 16), "PNG"),
        "e.jpg": encode(photo(16, 16, seed=1)),
    }
    shard = tmp_path / "s.tar"
    write_shard(shard, members)
    source = WebDatasetSource(str(shard), epoch_size=5, shuffle_buffer=0)
    met = {}
    for name, image in source.iterate(0, 0):
        assert name.startswith(f"{shard}::")
        met[name.split("::")[1]] = image
    assert list(met) == ["a.jpg", "b.jpg", "c", "d.jpg", "e.jpg"]
    reasons = {key: image.reason for key, image in met.items()
               if isinstance(image, UnreadableImageError)}  # fmt: skip
    assert reasons.keys() == {"b.jpg", "c", "d.jpg"}
    assert reasons["b.jpg"].startswith("truncated")
    assert reasons["c"] == "no image among its members (json)"
    assert reasons["d.jpg"] == "empty file"


@pytest.mark.parametrize("workers", [1, 3])
def test_shard_that_breaks_off_is_named_and_the_rest_is_read(shards: Path, workers: int) -> None:
    broken = shards / "train-002.tar"
    data = broken.read_bytes()
    broken.write_bytes(data[: 6 * 512])
    source = WebDatasetSource(str(shards / "train-{000..004}.tar"), epoch_size=30)
    good, errors = Counter(), set()
    for worker in range(workers):
        for name, image in source.iterate(0, 0, worker=worker, num_workers=workers):
            if isinstance(image, UnreadableImageError):
                errors.add((name, image.reason))
            else:
                good[name.split("::")[1]] += 1
    lost = {key for key in ALL if key[0] == "2"}
    assert {key for key in ALL if key not in good} <= lost and max(good.values()) == 1
    (error,) = errors
    assert error[0] == str(broken) and "shard breaks off after" in error[1]


def test_failing_pipe_and_file_that_is_no_tar(tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(b"not a tar archive" * 100)
    for shard in (str(tmp_path / "s.tar"), "pipe:exit 3"):
        ((name, error),) = WebDatasetSource(shard, epoch_size=1).iterate(0, 0)
        assert name == shard
        assert isinstance(error, UnreadableImageError) and "shard breaks off" in error.reason


def test_errors_before_training(shards: Path) -> None:
    with pytest.raises(DenseCLError, match=r"train-005.tar' does not exist"):
        WebDatasetSource(str(shards / "train-{000..005}.tar"), epoch_size=30)
    with pytest.raises(DenseCLError, match="give the number of images"):
        WebDatasetSource(str(shards / "train-000.tar"))
    with pytest.raises(DenseCLError, match="named twice"):
        WebDatasetSource([str(shards / "train-000.tar")] * 2, epoch_size=8)


def test_fingerprint_changes_with_the_shards(shards: Path) -> None:
    one = WebDatasetSource(str(shards / "train-000.tar"), epoch_size=4).fingerprint()
    two = WebDatasetSource(str(shards / "train-001.tar"), epoch_size=4).fingerprint()
    assert one != two and len(one) == 16
