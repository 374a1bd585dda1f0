"""Sets of pictures by the names of their files."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.invariance import folder_sets


def written(folder: Path, *names: str) -> Path:
    """Write small pictures, each of a grey of its own."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((20, 20, 3), 10 * number, np.uint8))
    return folder


def test_an_object_seen_by_two_cameras_makes_two_sets(tmp_path: Path) -> None:
    """As ALOI's illumination: object 3 by cameras 1 and 2 in two lights, object 7 by one."""
    names = ["3/3_l1c1.png", "3/3_l1c2.png", "3/3_l2c1.png", "3/3_l2c2.png"]
    folder = written(tmp_path, *names, "7/7_l1c1.png", "7/7_l2c1.png")
    sets = folder_sets(folder, 16, r"(\d+)_l\dc(\d)")
    assert sets.names == ("3/1", "3/2", "7/1") and not sets.classes
    assert sets.load(1)[:, 0, 0, 0].tolist() == [10, 30]
    assert folder_sets(folder, 16).names == ("3", "7")


def test_flat_files_with_classes(tmp_path: Path) -> None:
    """As crops of Pascal3D+: instances of a class from one direction are a set."""
    names = [f"az{angle}_{kind}_{n}.png" for angle in (0, 90) for kind in "ab" for n in range(2)]
    folder = written(tmp_path, *names, "az45_a_0.png")
    sets = folder_sets(folder, 16, r"az(\d+)_(?P<class>\w)_")
    assert sets.names == ("a/0", "b/0", "a/90", "b/90") and sets.classes == ("a", "b", "a", "b")


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("(", r"--group '\(' is no regular expression: missing \)"),
        ("obj", r"--group 'obj' has no group; put \(\.\.\.\) around what names a set"),
        (r"(obj\d)_a", r"does not match 'obj1_b\.png'"),
        ("(obj1|obj2)_", "has 1 sets of two images or more; two sets are needed"),
    ],
)
def test_wrong_groups_are_named(tmp_path: Path, group: str, message: str) -> None:
    folder = written(tmp_path, "obj1_a.png", "obj1_b.png", "obj2_a.png")
    with pytest.raises(DenseCLError, match=message):
        folder_sets(folder, 16, group)


def test_the_command_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"obj{number}__{angle}.png" for number in (1, 2, 3) for angle in (0, 5, 10)]
    folder = written(tmp_path / "coil", *names)
    command = ["evaluate", "invariance", "--backbone", "random", "--size", "32"]
    by_object = ["--sets", str(folder), "--group", r"(obj\d+)__"]
    assert main([*command, *by_object, "--out", str(tmp_path / "out.json")]) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert [record["image"] for record in result["records"]] == ["obj1", "obj2", "obj3"]
    assert result["settings"]["group"] == r"(obj\d+)__"
    assert main([*command, "--scenes", "3", "--group", "(a)"]) == 2
    assert "--group belongs to --sets;" in capsys.readouterr().err
