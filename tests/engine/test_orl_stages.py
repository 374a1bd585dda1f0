"""ORL's three stages as they are run: one after the other, and each cut off and gone on with."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from dense_cl import pretrain
from dense_cl.cli import main
from dense_cl.engine.checkpoint import POINTER
from dense_cl.engine.config_check import check_config
from dense_cl.errors import DenseCLError
from dense_cl.mining.object_pairs import ObjectPairs
from dense_cl.transfer.export import export_backbone
from tests.engine.interrupt import SAVE_OFTEN, PowerCut, differences, final_state, with_action
from tests.engine.tiny import tiny_config, write_images

ROOT = Path(__file__).resolve().parents[2]
NARROW = dict(
    head=dict(type="MLPHead", hidden_channels=16, out_channels=8, norm="BN"),
    predictor=dict(hidden_channels=16, norm="BN"),
)
PATCH = dict(
    type="PatchGroup",
    size=(16, 16),
    transforms=[
        dict(type="ColorJitter", brightness=0.4, hue=0.1, p=0.8),
        dict(type="HorizontalFlip", p=0.5),
    ],
)


def stage_3(photos: Path, pairs: Path, work_dir: Path | str = "", **changes: Any) -> Config:
    cfg = tiny_config(photos, work_dir, **changes)
    cfg.model.objectives = [dict(type="ORL", **NARROW)]
    cfg.train_dataloader.dataset.update(
        dict(
            type="ObjectPairDataset",
            patches=[PATCH, PATCH],
            regions=dict(type="SlidingWindows", sizes=[0.5]),
            mining=dict(neighbours=3, keep=0.3, min_size=10, size=32),
            pairs=str(pairs),
        )
    )
    return cfg


def write_recipe(path: Path, photos: Path, pairs: Path) -> Path:
    cfg = stage_3(photos, pairs, str(path.with_suffix("")))
    cfg.custom_imports = dict(imports=["tests.engine.tiny"])
    cfg.dump(path)
    return path


@pytest.fixture(scope="module")
def stage_1(photos: Path, tmp_path_factory: Any) -> Path:
    """The exported first stage, with its projection head."""
    work_dir = tmp_path_factory.mktemp("stage_1")
    cfg = tiny_config(photos, work_dir, train_cfg__max_epochs=1)
    cfg.model.objectives = [dict(type="BYOL", **NARROW)]
    pretrain(cfg)
    checkpoint = work_dir / (work_dir / POINTER).read_text()
    return export_backbone(checkpoint, work_dir / "projecting", head_layers=2)[0]


@pytest.fixture(scope="module")
def pairs(photos: Path, stage_1: Path) -> Path:
    """What the command writes for the photos."""
    file = stage_1.parent / "pairs.npz"
    recipe = write_recipe(stage_1.parent / "recipe.py", photos, file)
    assert main(["mine", str(recipe), "--backbone", str(stage_1), "--workers", "0"]) == 0
    return file


@pytest.fixture(scope="module")
def undisturbed(photos: Path, pairs: Path, tmp_path_factory: Any) -> dict[str, Any]:
    """What the third stage ends with."""
    work_dir = tmp_path_factory.mktemp("undisturbed")
    pretrain(stage_3(photos, pairs, work_dir))
    return final_state(work_dir)


@pytest.mark.parametrize(("iteration", "workers"), [(2, 0), (4, 2)])
def test_the_third_stage_cut_and_resumed_is_bit_identical(
    undisturbed: Any, photos: Path, pairs: Path, tmp_path: Path, iteration: int, workers: int
) -> None:
    changes = dict(SAVE_OFTEN, train_dataloader__num_workers=workers)
    with pytest.raises(PowerCut):
        pretrain(with_action(stage_3(photos, pairs, tmp_path, **changes), iteration, "cut"))
    torch.manual_seed(1234)
    moved = tmp_path / "moved.npz"  # where the pairs lie does not matter
    moved.write_bytes(pairs.read_bytes())
    changes["train_dataloader__num_workers"] = 2 - workers
    pretrain(stage_3(photos, moved, tmp_path, **changes), resume="auto")
    assert differences(undisturbed, final_state(tmp_path)) == []


def test_the_regions_of_the_pairs_may_move(photos: Path, pairs: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.py", photos, pairs)
    file = tmp_path / "a.regions"
    assert main(["regions", str(recipe), "--out", str(file), "--workers", "0"]) == 0

    def run() -> Config:
        cfg = stage_3(photos, pairs, tmp_path / "run", train_cfg__max_epochs=1)
        windows = cfg.train_dataloader.dataset.regions.to_dict()
        cfg.train_dataloader.dataset.regions = dict(
            type="RegionCache", file=str(file), provider=windows
        )
        return cfg

    pretrain(run())
    file = file.rename(tmp_path / "b.regions")
    pretrain(run(), resume="auto")


def test_resuming_with_other_pairs_is_refused(photos: Path, pairs: Path, tmp_path: Path) -> None:
    pretrain(stage_3(photos, pairs, tmp_path, train_cfg__max_epochs=1))
    other = ObjectPairs.read(pairs)
    other.neighbours[0, :2] = other.neighbours[0, 1::-1]
    (tmp_path / "other.npz").write_bytes(other.to_bytes())
    cfg = stage_3(photos, tmp_path / "other.npz", tmp_path, train_cfg__max_epochs=1)
    with pytest.raises(DenseCLError, match="fingerprint of object pairs was"):
        pretrain(cfg, resume="auto")


def test_pairs_of_other_photos_are_refused(photos: Path, pairs: Path, tmp_path: Path) -> None:
    others = write_images(tmp_path / "others", 16)
    with pytest.raises(DenseCLError, match="pairs.npz' .18 images.*these 16 images"):
        pretrain(stage_3(others, pairs, tmp_path / "run"))


def test_an_unreadable_partner_goes_to_the_quarantine(
    photos: Path, pairs: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "photos"
    broken.mkdir()
    for path in photos.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    mined = ObjectPairs.read(pairs)
    partner = broken / f"{int(mined.neighbours[0, 0]):03d}.jpg"
    partner.write_bytes(bytes(partner.stat().st_size))  # same name and size: same fingerprint
    cfg = stage_3(broken, pairs, tmp_path / "run", default_hooks__quarantine=dict(limit=0.2))
    pretrain(cfg)
    listed = (tmp_path / "run/quarantine.jsonl").read_text().splitlines()
    assert len(listed) == 1 and partner.name in listed[0]


def test_a_recipe_without_pairs_or_regions_is_refused(
    photos: Path, stage_1: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    backbone = ["--backbone", str(stage_1)]
    byol = "byol_resnet18_1xb32_cosine_40e_voc_animals"
    assert main(["mine", byol, "--data", str(photos), *backbone]) == 2
    assert "ViewDataset, which knows no pairs" in capsys.readouterr().err
    recipe = write_recipe(tmp_path / "recipe.py", photos, tmp_path / "pairs.npz")
    off = ["--cfg-options", "train_dataloader.dataset.regions=None"]
    assert main(["mine", str(recipe), *backbone, *off]) == 2
    assert "no train_dataloader.dataset.regions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "right"),
    [
        ("patches", "'size'"),
        ("mining", "'neighbours'"),
        ("box_jitter", "'min_iou'"),
    ],
)
def test_misspelt_options_name_the_right_word(option: str, right: str) -> None:
    wrong = {right.strip("'")[:-1] + "x": 1}
    cfg = stage_3(Path("photos"), Path("pairs.npz"))
    changed = [dict(PATCH, **wrong), PATCH] if option == "patches" else wrong
    cfg.train_dataloader.dataset[option] = changed
    with pytest.raises(DenseCLError, match=f"dataset.{option}.*Did you mean {right}"):
        check_config(cfg)


def test_killed_mining_goes_on(stage_1: Path, tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", 200)  # four parts
    whole, pieces = tmp_path / "whole.npz", tmp_path / "pieces.npz"
    recipe = write_recipe(tmp_path / "recipe.py", photos, whole)
    command = ["mine", str(recipe), "--backbone", str(stage_1), "--workers", "1"]
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    process = subprocess.Popen(
        [sys.executable, "-m", "dense_cl.cli", *command, "--out", str(pieces)],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    parts = tmp_path / "pieces.npz.parts"
    deadline = time.monotonic() + 300
    while not list(parts.glob("*.npz")):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()[0]
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.npz")}
    assert 1 <= len(done) < 4 and not pieces.exists()
    kept = []

    def looked_at(_: Any, done_now: int, total: int) -> None:
        kept.append(done_now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dense_cl.commands.progress.Progress.__call__", looked_at)
        assert main([*command, "--out", str(pieces)]) == 0
    assert kept[0] == 64 * len(done) + 1 and kept[-1] == 200
    assert main(command) == 0
    assert pieces.read_bytes() == whole.read_bytes()
