"""Labelled images: the two ways to write them down, and the mistakes people make."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.labelled_images import LabelledImages, central_square, class_numbers


def picture(file: Path, value: int = 0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((12, 16, 3), value, np.uint8)).save(file)
    return file


def test_folders_are_classes(tmp_path: Path) -> None:
    for name in ("dog/a.png", "cat/deep/b.png", "cat/c.png"):
        picture(tmp_path / name)
    found = LabelledImages.find(tmp_path)
    assert found.names == ("cat", "cat", "dog")
    assert found.source.name(2).endswith("dog/a.png")
    picture(tmp_path / "loose.png")
    with pytest.raises(DenseCLError, match="loose.png' lies beside the class folders"):
        LabelledImages.find(tmp_path)


@pytest.mark.parametrize(
    ("text", "column", "names"),
    [
        ("a b.png, cat, animal\n\n# no\nx/c.png,dog,animal\n", 1, ("cat", "dog")),
        ("a b.png,cat,animal\nx/c.png,dog,animal", 2, ("animal", "animal")),
        ("c.png 10\nd.png\t9\n", 1, ("10", "9")),
        ("a.png\tred apple\tfruit\nb.png\tgreen, big\tfruit\n", 1, ("red apple", "green, big")),
        ("a b.png\tred apple\n", 1, ("red apple",)),
        ("a.png\t\tcat\nb.png dog\t\nc.png,\tcow\t\n", 1, ("cat", "dog", "cow")),
    ],
)
def test_lines_of_path_and_labels(tmp_path: Path, text: str, column: int, names: tuple) -> None:
    file = tmp_path / "list.txt"
    file.write_text(text)
    found = LabelledImages.find(file, column)
    assert found.names == names
    assert found.source.name(0) == str(tmp_path / text[: text.index(".png") + 4])


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a.png,1\nb.png\n", 1, "line 2 of .* has no label number 1: 'b.png'"),
        ("a.png,1\n", 2, "line 1 of .* has no label number 2"),
        ("a.png,1\n", 0, "no label number 0"),
        ("a.png,\n", 1, "no label number 1"),
        ("# nothing\n", 1, "names no image"),
    ],
)
def test_lists_that_are_refused(tmp_path: Path, text: str, column: int, message: str) -> None:
    file = tmp_path / "list.txt"
    file.write_text(text)
    with pytest.raises(DenseCLError, match=message):
        LabelledImages.find(file, column)


def test_nothing_there_and_not_text(tmp_path: Path) -> None:
    with pytest.raises(DenseCLError, match="do not exist"):
        LabelledImages.find(tmp_path / "none.txt")
    with pytest.raises(DenseCLError, match="cannot be read as text"):
        LabelledImages.find(picture(tmp_path / "a.png"))


def test_a_subset_is_spread_over_the_classes_and_keeps_its_images(tmp_path: Path) -> None:
    lines = [f"{picture(tmp_path / f'{i}.png', i).name},{'ab'[i % 2]}" for i in range(20)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    found = LabelledImages.find(tmp_path / "list.txt").subset(6)
    assert found.names == ("a",) * 3 + ("b",) * 3
    values = found.images(8)[:, 0, 0, 0].tolist()
    assert values == sorted(values[:3]) + sorted(values[3:]) and len(set(values)) == 6
    assert [value % 2 for value in values] == [0, 0, 0, 1, 1, 1]
    assert found.subset(6) is found


def test_lists_beside_their_images_are_the_same_on_another_machine(tmp_path: Path) -> None:
    found = []
    for machine in ("one", "two"):
        (tmp_path / machine / "images").mkdir(parents=True)
        (tmp_path / machine / "lists").mkdir()
        lines = [f"../images/{i}.png,{'ab'[i % 2]}" for i in range(4)]
        for i in range(4):
            picture(tmp_path / machine / "images" / f"{i}.png", i)
        (tmp_path / machine / "lists" / "x.txt").write_text("\n".join(lines))
        whole = LabelledImages.find(tmp_path / machine / "lists" / "x.txt")
        for images in (whole, whole.take([2, 0]), LabelledImages.joined([whole, whole])):
            assert images.images(8).shape[0] == len(images)
            found.append([images.name(i) for i in range(len(images))] + [images.identity()])
    assert found[:3] == found[3:]


def test_classes_of_several_sets_get_the_same_numbers() -> None:
    first, second = class_numbers(("b", "a", "b"), ("c", "b"))
    assert first.tolist() == [1, 0, 1] and second.tolist() == [2, 1]


def test_central_square() -> None:
    image = np.zeros((32, 64, 3), np.uint8)
    image[2:30, 18:46] = 200
    assert (central_square(image, 28) == 200).all()
    assert central_square(image[:1], 4).shape == (4, 4, 3)
