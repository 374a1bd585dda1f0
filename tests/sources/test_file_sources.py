"""Folder, list and COCO sources: what is listed, in which order, and what is refused."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from dense_cl.errors import DenseCLError
from dense_cl.paths import files_below
from dense_cl.registry import SOURCES
from dense_cl.sources import (
    CocoSource,
    FolderSource,
    ListSource,
    UnreadableImageError,
    source_from_path,
)
from tests.sources.images import encode, photo


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encode(photo(seed=len(name)), "PNG"))
    return root


def names_of(source: FolderSource | ListSource | CocoSource, root: Path) -> list[str]:
    return [os.path.relpath(source.name(i), root) for i in range(len(source))]


def test_folder_is_sorted_nested_and_filtered(tmp_path: Path) -> None:
    fill(tmp_path, "b.png", "a/z.PNG", "a/y/x.png", "ü.png", ".hidden.png", ".cache/t.png")
    (tmp_path / "notes.txt").write_text("not an image")
    source = FolderSource(tmp_path)
    assert names_of(source, tmp_path) == ["a/y/x.png", "a/z.PNG", "b.png", "ü.png"]
    np.testing.assert_array_equal(source.load(2), photo(seed=5))
    assert names_of(FolderSource(tmp_path, extensions=(".txt",)), tmp_path) == ["notes.txt"]


def test_names_in_another_encoding(tmp_path: Path) -> None:
    fill(tmp_path, os.fsdecode(b"caf\xe9.png"))
    source = FolderSource(tmp_path)
    assert len(source.stamp()) == 64 and len(source.fingerprint()) == 16


def test_folder_follows_links_once_and_survives_loops(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", "a.png")
    fill(tmp_path / "elsewhere", "b.png")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    assert names_of(FolderSource(root), root) == ["a.png", "again/b.png"]
    (root / "a_link").symlink_to(fill(root / "place", "c.png"))
    assert names_of(FolderSource(root), root) == ["a.png", "again/b.png", "place/c.png"]
    assert sorted(files_below(root, (".png",), repeated=True)) == [
        "a.png", "a_link/c.png", "again/b.png", "linked/b.png", "place/c.png"
    ]  # fmt: skip


def test_folder_missing_empty_or_a_file(tmp_path: Path) -> None:
    with pytest.raises(DenseCLError, match="does not exist"):
        FolderSource(tmp_path / "nowhere")
    with pytest.raises(DenseCLError, match="holds no image"):
        FolderSource(tmp_path)
    file = tmp_path / "x.jpg"
    file.touch()
    with pytest.raises(DenseCLError, match="is not a folder"):
        FolderSource(file)


def test_names_that_are_not_unicode_survive(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(raw, "wb") as file:
        file.write(encode(photo(), "PNG"))
    source = pickle.loads(pickle.dumps(FolderSource(tmp_path)))
    assert os.fsencode(source.name(0)) == raw
    assert source.load(0).shape == (48, 64, 3)
    with pytest.raises(IndexError):
        source.load(1)


def test_fingerprint_is_of_names_and_sizes_not_of_the_place(tmp_path: Path) -> None:
    here, there = (fill(tmp_path / place, "a.png", "b.png") for place in ("here", "there"))
    first = FolderSource(here).fingerprint()
    assert first == FolderSource(there).fingerprint()
    (there / "b.png").write_bytes(b"other size")
    second = FolderSource(there).fingerprint()
    (there / "b.png").rename(there / "c.png")
    assert len({first, second, FolderSource(there).fingerprint()}) == 3


def test_list_keeps_order_and_reports_missing_entries(tmp_path: Path) -> None:
    fill(tmp_path / "images", "a.png", "b.png")
    listing = tmp_path / "images" / "train.txt"
    absolute = tmp_path / "images" / "a.png"
    listing.write_bytes(f"\ufeffb.png\r\n\r\n# comment\r\ngone.png\n{absolute}\n".encode())
    source = ListSource(listing)
    assert names_of(source, tmp_path / "images") == ["b.png", "gone.png", "a.png"]
    with pytest.raises(UnreadableImageError, match="no such file"):
        source.load(1)
    listing.write_text("images/b.png\n")
    assert ListSource(listing, root=tmp_path).load(0).shape == (48, 64, 3)


def test_list_errors(tmp_path: Path) -> None:
    listing = tmp_path / "list.txt"
    with pytest.raises(DenseCLError, match="No such file"):
        ListSource(listing)
    listing.write_text("# nothing\n\n")
    with pytest.raises(DenseCLError, match="names no image"):
        ListSource(listing)
    listing.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DenseCLError, match="not UTF-8"):
        ListSource(listing)
    listing.write_text("a.png")
    with pytest.raises(DenseCLError, match="not a folder"):
        ListSource(listing, root=tmp_path / "nowhere")


def coco_file(path: Path, names: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    path.write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    return path


@pytest.mark.parametrize(
    ("annotations", "images"),
    [
        ("labels.json", "."),
        ("labels.json", "images"),
        ("annotations/train.json", "images"),
        ("annotations/train.json", "."),
        ("annotations/instances_train2017.json", "train2017"),
        ("annotations/instances_train2017.json", "images/train2017"),
        ("annotations/person_keypoints_val2017.json", "val2017"),
        ("annotations/instances_train_1percent.json", "train"),
        ("train/_annotations.coco.json", "train"),
    ],
)
def test_coco_image_folder_is_guessed(tmp_path: Path, annotations: str, images: str) -> None:
    fill(tmp_path / images, "b.png", "a.png")
    file = coco_file(tmp_path / annotations, ["b.png", "a.png", "gone.png"])
    source = CocoSource(file)
    assert names_of(source, tmp_path / images) == ["b.png", "a.png", "gone.png"]
    assert source.load(1).shape == (48, 64, 3)
    with pytest.raises(UnreadableImageError, match="no such file"):
        source.load(2)


def test_coco_guess_prefers_the_folder_with_most_files(tmp_path: Path) -> None:
    fill(tmp_path, "a.png")
    fill(tmp_path / "images", "a.png", "b.png")
    file = coco_file(tmp_path / "labels.json", ["a.png", "b.png"])
    assert CocoSource(file).root == str(tmp_path / "images")


def test_coco_errors(tmp_path: Path) -> None:
    fill(tmp_path / "odd_place", "a.png")
    file = coco_file(tmp_path / "annotations" / "instances_val.json", ["a.png"])
    with pytest.raises(DenseCLError, match=r"no 'a.png' in .*annotations.*images/val'"):
        CocoSource(file)
    assert len(CocoSource(file, tmp_path / "odd_place")) == 1
    with pytest.raises(DenseCLError, match="no 'a.png' in"):
        CocoSource(file, tmp_path)
    with pytest.raises(DenseCLError, match="cannot be read"):
        CocoSource(tmp_path / "gone.json")
    for text, complaint in {
        '{"images": [': "not valid JSON",
        "[1, 2]": "not COCO",
        '{"images": [{"id": 1}]}': "not COCO",
        '{"images": []}': "lists no image",
        "\x00": "not valid JSON",
    }.items():
        file.write_text(text)
        with pytest.raises(DenseCLError, match=complaint):
            CocoSource(file)


def test_real_coco_files(shared_data) -> None:
    folder = shared_data("coco128")
    source = CocoSource(folder / "annotations" / "instances_val2017.json")
    assert Path(source.root).name == "val2017"
    assert source.load(0).shape[2] == 3
    assert len(CocoSource(shared_data("voc_animals") / "annotations" / "train.json")) == 2708


def test_source_from_path(tmp_path: Path) -> None:
    fill(tmp_path / "images", "a.png")
    listing = tmp_path / "list.txt"
    listing.write_text("images/a.png")
    file = coco_file(tmp_path / "train.json", ["a.png"])
    for data, kind in [(tmp_path / "images", FolderSource), (listing, ListSource),
                       (file, CocoSource)]:  # fmt: skip
        source = SOURCES.build(source_from_path(data))
        assert type(source) is kind and source.load(0).shape == (48, 64, 3)
    restricted = source_from_path(tmp_path / "images", annotations=file)
    assert SOURCES.build(restricted).root == str(tmp_path / "images")
    for shards in ("s.tar", "s-{0..3}.tar", "pipe:cat s.tar", "s.tar.gz"):
        assert source_from_path(shards) == {"type": "WebDatasetSource", "shards": shards}
    with pytest.raises(DenseCLError, match="does not exist"):
        source_from_path(tmp_path / "nowhere")
    (tmp_path / "data.csv").touch()
    with pytest.raises(DenseCLError, match="not known"):
        source_from_path(tmp_path / "data.csv")
