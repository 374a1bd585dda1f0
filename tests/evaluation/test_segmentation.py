"""The whole evaluation on pictures whose classes are colours, and what wrong input says."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dense_cl.cli import main
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.mask_folders import MaskFolders
from dense_cl.evaluation.segmentation import evaluate_segmentation

COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]], dtype=np.uint8)
VOID = 255


class Colours(nn.Module):
    """A "backbone" whose last stage is the average colour of 8x8 pixels."""

    def forward(self, image):
        return image, nn.functional.avg_pool2d(image, 8)


@pytest.fixture
def folders(tmp_path):
    """Write quadrants of random colours with a void border, for three splits."""
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for index in range(6):
            mask = np.kron(rng.integers(0, 3, (4, 4)), np.ones((16, 16))).astype(np.uint8)
            image = COLOURS[mask]
            mask[:2] = VOID
            _save(image, tmp_path / "images" / split / "nested" / f"{index}.jpg", quality=95)
            _save(mask, tmp_path / "masks" / split / "nested" / f"{index}.png")
    return tmp_path


def _save(array, file, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file, **options)


def _find(root, split, **changes):
    options = dict(num_classes=3, ignore=[VOID]) | changes
    return MaskFolders.find(root / "images" / split, root / "masks" / split, **options)


def test_colours_are_told_apart(folders):
    result = evaluate_segmentation(
        Colours(), _find(folders, "train"), _find(folders, "test"), _find(folders, "val"),
        size=(64, 64), l2=[1e-1, 1e-4], classes=["red", "green", "blue"],
    )  # fmt: skip
    # Upsampling from 8-pixel cells rounds the corners of the squares; nothing else can go wrong.
    assert result["mean_iou"] > 0.9
    assert set(result["iou"]) == {"red", "green", "blue"}
    assert result["fit"]["l2"] == 1e-4 and result["fit"]["converged"]
    assert json.loads(json.dumps(result)) == result


def test_features_that_say_nothing_give_the_most_frequent_class(folders):
    class Blind(nn.Module):
        def forward(self, image):
            return (torch.zeros(len(image), 4, 8, 8),)

    result = evaluate_segmentation(
        Blind(), _find(folders, "train"), _find(folders, "test"), size=(64, 64)
    )
    assert sum(iou > 0 for iou in result["iou"].values()) == 1


def test_command_line_writes_the_result(folders, capsys):
    names = folders / "names.txt"
    names.write_text("red\ngreen\nblue\n")
    arguments = [
        f"--{split}-{kind}={folders / kind / split}"
        for split in ("train", "test")
        for kind in ("images", "masks")
    ]
    out = folders / "deep" / "result.json"
    status = main([
        "evaluate", "segmentation", "--backbone", "random", *arguments, f"--classes={names}",
        "--size", "64x64", "--seed", "3", "--out", str(out),
    ])  # fmt: skip
    assert status == 0
    result = json.loads(out.read_text())
    assert (result["seed"], result["backbone"]) == (3, "random")
    assert result["settings"]["images"] == {"train": 6, "val": 0, "test": 6}
    assert f"{100 * result['mean_iou']:.1f}" in capsys.readouterr().out


def _damage(root: Path, kind: str) -> None:
    mask = root / "masks/train/nested/2.png"
    if kind == "missing":
        mask.unlink()
    elif kind == "size":
        _save(np.zeros((64, 32), np.uint8), mask)
    elif kind == "value":
        _save(np.full((64, 64), 17, np.uint8), mask)
    elif kind == "colour":
        _save(np.zeros((64, 64, 3), np.uint8), mask)
    elif kind == "broken":
        mask.write_bytes(mask.read_bytes()[:60])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", r"1 of 6 images .* no mask .*nested/2\.png"),
        ("size", r"2\.png' is 32x64 but its image .*2\.jpg' is 64x64"),
        ("value", r"2\.png' holds the value 17, .* 0\.\.2 nor ignored \(\[255\]\)"),
        ("colour", r"2\.png' is a RGB picture"),
        ("broken", r"2\.png' cannot be read"),
    ],
)
def test_wrong_masks_are_named(folders, kind, message):
    _damage(folders, kind)
    with pytest.raises(DenseCLError, match=message):
        evaluate_segmentation(Colours(), _find(folders, "train"), _find(folders, "test"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(stages=[5]), "stage 5 does not exist: the backbone has 2 stages"),
        (dict(l2=[1.0, 0.1]), "no validation images"),
    ],
)
def test_wrong_settings_are_named(folders, options, message):
    with pytest.raises(DenseCLError, match=message):
        evaluate_segmentation(
            Colours(), _find(folders, "train"), _find(folders, "test"), size=(64, 64), **options
        )


def test_wrong_paths_are_named(folders):
    with pytest.raises(DenseCLError, match="folder of images .* does not exist"):
        _find(folders, "trian")
    (folders / "masks" / "empty").mkdir()
    with pytest.raises(DenseCLError, match="folder of masks .* holds none"):
        MaskFolders.find(folders / "images" / "train", folders / "masks" / "empty", 3)
    with pytest.raises(DenseCLError, match="backbone 'nowhere.pth' is not a file"):
        evaluate_segmentation("nowhere.pth", _find(folders, "train"), _find(folders, "test"))


def test_random_backbones_follow_the_seed_and_leave_the_generator_alone(folders):
    from dense_cl.evaluation.frozen import FrozenBackbone

    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    before = torch.get_rng_state()
    first, again, other = (FrozenBackbone.load("random", seed).stages(images) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[-1], other[-1])
    assert [stage.shape[-1] for stage in first] == [16, 8, 4, 2]
