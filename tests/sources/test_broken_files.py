"""Ten kinds of broken files among good ones: each is listed with its reason, none is lost."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dense_cl.sources import FolderSource, UnreadableImageError
from tests.sources.images import encode, photo, png

REPOSITORY = Path(__file__).resolve().parents[2]
JPEG = encode(photo(120, 160), quality=90)
MIDDLE = len(JPEG) // 2
PNG = encode(photo(), "PNG")


# name -> (content, reason)
CONTENTS = {
    "empty.jpg": (lambda: b"", "empty file"),
    "text.jpg": (lambda: b"<html>404 not found</html>", "not an image"),
    "truncated.jpg": (lambda: JPEG[:MIDDLE], "truncated"),
    "truncated.png": (lambda: PNG[: len(PNG) // 2], "truncated"),
    "header_only.jpg": (lambda: JPEG[:200], "truncated: the JPEG breaks off in its header"),
    "hole.jpg": (lambda: JPEG[:MIDDLE] + JPEG[MIDDLE + 900 :], "corrupt JPEG data"),
    "zeros.jpg": (lambda: JPEG[:MIDDLE] + bytes(len(JPEG) - MIDDLE), "truncated"),
    "garbage.png": (lambda: PNG[:60] + bytes(range(256)) + PNG[316:], "broken|unrecognized"),
    "bomb.png": (lambda: png(40_000, 40_000, 8, 2, []), "40000 x 40000 pixels, above the limit"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, (content, _) in CONTENTS.items():
        (tmp_path / name).write_bytes(content())
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "good.jpg").write_bytes(JPEG)
    return tmp_path


def test_each_kind_has_its_reason(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    reasons = {name: reason for name, (_, reason) in CONTENTS.items()} | {
        "link.jpg": "broken symbolic link",
        "folder.jpg": "is a directory",
        "fifo.jpg": "not a regular file",
    }
    source = FolderSource(folder)
    met = {}
    for index in range(len(source)):
        try:
            image = source.load(index)
        except UnreadableImageError as error:
            assert error.name == source.name(index)
            met[Path(error.name).name] = error.reason
        else:
            assert Path(source.name(index)).name == "good.jpg"
            assert image.shape == (120, 160, 3)
    assert met.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert re.search(reason, met[name]), (name, met[name])
    assert capfd.readouterr().err == ""


def test_reasons_are_the_same_every_time(folder: Path) -> None:
    # An address of an object in a message would list the same file as new reason after reason.
    def reasons() -> list[str]:
        source, found = FolderSource(folder), []
        for index in range(len(source)):
            try:
                source.load(index)
            except UnreadableImageError as error:
                found.append(error.reason)
        return found

    assert reasons() == reasons()
    assert not any("0x" in reason or "object at" in reason for reason in reasons())


def test_no_permission(tmp_path: Path) -> None:
    file = tmp_path / "secret.jpg"
    file.write_bytes(JPEG)
    file.chmod(0)
    script = (
        "import os, sys\n"
        "from dense_cl.sources import UnreadableImageError, load_image\n"
        "os.geteuid() or os.setuid(65534)  # nothing is forbidden to root\n"
        "try: load_image(sys.argv[1])\n"
        "except UnreadableImageError as error: print(error.reason)\n"
    )
    command = [sys.executable, "-c", script, str(file)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert answer.stdout == "permission denied\n"


def test_oversized_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "sparse.jpg"
    with file.open("wb") as handle:
        handle.truncate(40 << 30)  # 40 GB, none of them on the disk
    with pytest.raises(UnreadableImageError, match="bytes, above the limit"):
        FolderSource(tmp_path).load(0)


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_never_raises_anything_else(seed: int) -> None:
    from dense_cl.sources import decode_image

    rng = np.random.default_rng(seed)
    for fmt in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"):
        whole = bytearray(encode(photo(seed=seed), fmt))
        for _ in range(15):
            data = bytearray(whole[: rng.integers(1, len(whole) + 1)])
            for position in rng.integers(0, len(data), 6):
                data[position] = rng.integers(256)
            try:
                image = decode_image(bytes(data), "damaged", max_pixels=1 << 22)
            except UnreadableImageError:
                continue
            assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
