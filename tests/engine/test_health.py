"""Runs that go wrong stop with a message, and those about to do so are announced."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from dense_cl import pretrain
from dense_cl.engine.checkpoint import load_checkpoint
from dense_cl.engine.hooks.health import HealthHook
from dense_cl.errors import DenseCLError
from dense_cl.registry import HOOKS
from tests.engine.tiny import tiny_config, write_images


@HOOKS.register_module()
class Poison(Hook):
    """Put a NaN into a weight, before or after the forward pass of an iteration."""

    def __init__(self, iteration: int, after: bool) -> None:
        self.iteration, self.after = iteration, after

    def _poison(self, runner: Any) -> None:
        if runner.iter == self.iteration:
            runner.learner.backbone.shallow[0].weight.data[0, 0, 0, 0] = math.nan

    def before_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if not self.after:
            self._poison(runner)

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if self.after:
            self._poison(runner)


def poisoned(photos: Path, work_dir: Path, after: bool) -> str:
    cfg = tiny_config(photos, work_dir, default_hooks__checkpoint=dict(interval=1, by_epoch=False))
    cfg.custom_hooks = [dict(type="Poison", iteration=5, after=after)]
    with pytest.raises(DenseCLError) as error:
        pretrain(cfg)
    return str(error.value)


def test_nan_loss_stops_before_the_optimiser_and_names_the_last_good_checkpoint(
    photos: Path, tmp_path: Path
) -> None:
    message = poisoned(photos, tmp_path, after=False)
    assert "iteration 6: the loss is not finite" in message
    assert "info_nce nan" in message and "dense_info_nce nan" in message
    assert str(tmp_path / "checkpoints/iter_5.pth") in message
    assert "learning rate" in message or "optimizer.lr" in message


def test_nan_weights_are_never_saved(photos: Path, tmp_path: Path) -> None:
    message = poisoned(photos, tmp_path, after=True)
    assert "backbone.shallow.0.weight" in message and "iter_5.pth" in message
    saved = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name for path in saved] == ["iter_4.pth", "iter_5.pth"]
    for value in load_checkpoint(saved[-1])["state_dict"].values():
        assert torch.isfinite(value).all()


def alarms_of(work_dir: Path, symptom: str) -> list[int]:
    """Iterations of the alarms in summary.json; the log must have the same ones."""
    summary = json.loads((work_dir / "summary.json").read_text())
    log = "".join(path.read_text() for path in work_dir.rglob("*.log"))
    for alarm in summary["alarms"]:
        assert f"alarm at iteration {alarm['iteration']}: {alarm['message']}" in log
    return [a["iteration"] for a in summary["alarms"] if a["symptom"] == symptom]


@pytest.mark.parametrize(("patience", "expected"), [(1, [3, 13]), (3, [4])])
def test_alarm_waits_for_patience_and_is_seldom_repeated(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int, expected: list
) -> None:
    monkeypatch.setattr("dense_cl.engine.hooks.health._EVERY", 1)
    # A dead backbone: all features are equal, so the contrast is at chance for good.
    cfg = tiny_config(
        photos, tmp_path, optim_wrapper__optimizer__lr=0.0,
        default_hooks__health=dict(grace=2, patience=patience), train_cfg__max_epochs=4,
    )  # fmt: skip
    cfg.custom_hooks = [dict(type="Deaden")]
    pretrain(cfg)
    assert alarms_of(tmp_path, "feature_std") == expected
    assert alarms_of(tmp_path, "info_nce") == []  # leaving chance may take ten times as long


@HOOKS.register_module()
class Deaden(Hook):
    """Make every image give the same features."""

    def before_train(self, runner: Any) -> None:
        learner = runner.learner
        learner.backbone.deep[0].weight.data.zero_()
        learner.backbone.deep[1].bias.data.fill_(1.0)


def break_files(folder: Path, share: float) -> list[str]:
    broken = sorted(folder.iterdir())[: round(share * len(list(folder.iterdir())))]
    for number, path in enumerate(broken):
        content = path.read_bytes()
        path.write_bytes([b"", content[:60], b"not an image"][number % 3])
    return [str(path) for path in broken]


def test_four_percent_broken_files_train_to_the_end(tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", 50)
    broken = break_files(photos, 0.04)
    cfg = tiny_config(photos, tmp_path / "run", train_dataloader__num_workers=1)
    cfg.train_dataloader.batch_size = 5
    result = pretrain(cfg)
    lines = (tmp_path / "run/quarantine.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert sorted(entry["file"] for entry in entries) == sorted(broken)
    assert all(entry["reason"] for entry in entries)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["quarantined"] == 2 and summary["iterations"] == 30
    assert result.checkpoint.name == "iter_30.pth"
    again = pretrain(cfg)  # a fresh run in the same folder counts anew
    assert again.checkpoint.is_file()
    assert len((tmp_path / "run/quarantine.jsonl").read_text().splitlines()) == 2


def test_thirty_percent_broken_files_stop_the_run(tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", 50)
    broken = break_files(photos, 0.3)
    with pytest.raises(DenseCLError, match="above the limit of 5.0%"):
        pretrain(tiny_config(photos, tmp_path / "run"))
    listed = (tmp_path / "run/quarantine.jsonl").read_text().splitlines()
    assert {json.loads(line)["file"] for line in listed} <= set(broken)
    pretrain(tiny_config(photos, tmp_path / "tolerant", default_hooks__quarantine=dict(limit=0.5)))
    listed = (tmp_path / "tolerant/quarantine.jsonl").read_text().splitlines()
    assert {json.loads(line)["file"] for line in listed} == set(broken)


def test_a_batch_with_too_few_images_is_skipped(tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos", 8)
    break_files(photos, 1.0)
    for number in (0, 4):
        cv2.imwrite(str(photos / f"{number:03d}.jpg"), np.full((40, 40, 3), number, dtype=np.uint8))
    cfg = tiny_config(photos, tmp_path / "run", default_hooks__quarantine=dict(limit=1.0))
    cfg.train_dataloader.batch_size = 2
    pretrain(cfg)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["iterations"] == 12
    assert summary["skipped_iterations"] >= 9
    steps = load_checkpoint(tmp_path / "run/checkpoints/iter_12.pth")["state_dict"]["step"]
    assert steps == 12 - summary["skipped_iterations"]


def test_a_run_that_skipped_everything_is_no_success(photos: Path, tmp_path: Path) -> None:
    cfg = tiny_config(photos, tmp_path, train_dataloader__batch_size=1, train_cfg__max_epochs=1)
    with pytest.raises(DenseCLError, match="nothing was trained: not one of .* had 2 images"):
        pretrain(cfg)
    assert not (tmp_path / "backbone.pth").exists()


def test_the_projections_of_the_plain_views_are_watched() -> None:
    """A head is called again for masked views, in the same step."""
    hook, head = HealthHook(), torch.nn.Linear(3, 2)
    hook._handles, hook._projections = [], {}
    hook._watch(SimpleNamespace(iter=0), "simclr_projection", head)
    plain = head(torch.rand(4, 3))
    head(torch.zeros(4, 3))
    assert torch.equal(hook._projections["simclr_projection"], plain)
