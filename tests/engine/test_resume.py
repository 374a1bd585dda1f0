"""A run that is stopped anywhere and resumed ends with the weights of one that was not."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from dense_cl import pretrain
from dense_cl.engine.checkpoint import POINTER, load_checkpoint
from dense_cl.engine.signals import TrainingStopped
from dense_cl.errors import DenseCLError
from dense_cl.registry import HOOKS
from tests.engine.tiny import tiny_config

SAVE_OFTEN = dict(default_hooks__checkpoint=dict(interval=1, by_epoch=False))


class PowerCut(Exception):
    """Stands for kill -9 within one process."""


@HOOKS.register_module()
class ActAtIteration(Hook):
    """Do something in the middle of an iteration, after the optimiser step."""

    def __init__(self, iteration: int, action: str) -> None:
        self.iteration, self.action = iteration, action

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        if runner.iter == self.iteration and self.action == "cut":
            raise PowerCut
        if runner.iter == self.iteration:
            os.kill(os.getpid(), signal.SIGTERM)


def with_action(cfg: Config, iteration: int, action: str) -> Config:
    cfg.custom_hooks = [dict(type="ActAtIteration", iteration=iteration, action=action)]
    return cfg


def differences(first: Any, second: Any, path: str = "") -> list[str]:
    """Return the paths at which two checkpoints differ by a single bit."""
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [path]
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        return [d for key in first for d in differences(first[key], second[key], f"{path}.{key}")]
    if isinstance(first, list | tuple):
        assert len(first) == len(second), path
        pairs = enumerate(zip(first, second, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{path}.{i}")]
    return [] if first == second else [path]


def final_state(work_dir: Path) -> dict[str, Any]:
    content = load_checkpoint(work_dir / (work_dir / POINTER).read_text())
    del content["meta"]["config"]  # names the work folder
    return content


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "bfloat16"])
def reference(request: pytest.FixtureRequest, photos: Path, tmp_path_factory: Any) -> Any:
    """The undisturbed run, in this precision."""
    work_dir = tmp_path_factory.mktemp("reference")
    pretrain(tiny_config(photos, work_dir, amp=request.param))
    return request.param, final_state(work_dir)


@pytest.mark.parametrize(("iteration", "workers"), [(0, 0), (3, 2), (4, 1), (9, 0)])
def test_cut_and_resumed_run_is_bit_identical(
    reference: Any, photos: Path, tmp_path: Path, iteration: int, workers: int
) -> None:
    amp, expected = reference
    changes = dict(SAVE_OFTEN, amp=amp, train_dataloader__num_workers=workers)
    with pytest.raises(PowerCut):
        pretrain(with_action(tiny_config(photos, tmp_path, **changes), iteration, "cut"))
    torch.manual_seed(1234)  # whatever the new process happens to start with
    changes["train_dataloader__num_workers"] = 2 - workers
    pretrain(tiny_config(photos, tmp_path, **changes), resume="auto")
    assert differences(expected, final_state(tmp_path)) == []


def test_gradient_accumulation_is_saved_only_at_rest(photos: Path, tmp_path: Path) -> None:
    changes = dict(SAVE_OFTEN, optim_wrapper__accumulative_counts=3)
    pretrain(tiny_config(photos, tmp_path / "whole", **changes))
    with pytest.raises(PowerCut):
        pretrain(with_action(tiny_config(photos, tmp_path / "cut", **changes), 7, "cut"))
    saved = sorted(path.name for path in (tmp_path / "cut/checkpoints").iterdir())
    assert saved == ["iter_3.pth", "iter_6.pth"]
    pretrain(tiny_config(photos, tmp_path / "cut", **changes), resume="auto")
    assert differences(final_state(tmp_path / "whole"), final_state(tmp_path / "cut")) == []


def test_sigterm_finishes_the_iteration_saves_and_puts_the_handlers_back(
    reference: Any, photos: Path, tmp_path: Path
) -> None:
    amp, expected = reference
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(TrainingStopped) as stop:
        pretrain(with_action(tiny_config(photos, tmp_path, amp=amp), 5, "terminate"))
    assert stop.value.exit_status == 143
    assert stop.value.checkpoint.endswith("iter_6.pth")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    pretrain(tiny_config(photos, tmp_path, amp=amp), resume="auto")
    assert differences(expected, final_state(tmp_path)) == []


def test_auto_falls_back_to_the_previous_checkpoint_and_says_so(
    reference: Any, photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    amp, expected = reference
    changes = dict(SAVE_OFTEN, amp=amp)
    with pytest.raises(PowerCut):
        pretrain(with_action(tiny_config(photos, tmp_path, **changes), 6, "cut"))
    latest = tmp_path / "checkpoints/iter_6.pth"
    latest.write_bytes(latest.read_bytes()[:-100])
    pretrain(tiny_config(photos, tmp_path, **changes), resume="auto")
    log = "".join(path.read_text() for path in tmp_path.rglob("*.log"))
    assert "iter_6.pth' is truncated or damaged" in log
    assert "iter_5.pth: 5 of 12 iterations done" in log
    assert differences(expected, final_state(tmp_path)) == []


def test_scalars_and_summary_cover_the_whole_run(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(PowerCut):
        pretrain(with_action(tiny_config(photos, tmp_path, **SAVE_OFTEN), 6, "cut"))
    result = pretrain(tiny_config(photos, tmp_path, **SAVE_OFTEN), resume="auto")
    lines = (tmp_path / "vis_data/scalars.json").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == [2, 4, 6, 8, 10, 12]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["iterations"], summary["resumed_at"]) == (12, 6)
    assert summary["final"]["info_nce"] > 0 and summary["images_per_second"] > 0
    assert result.backbone.is_file() and result.backbone.with_suffix(".safetensors").is_file()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (dict(randomness__seed=1), "randomness.seed was 0 and is now 1"),
        (dict(train_dataloader__batch_size=3), "train_dataloader.batch_size was 4 and is now 3"),
        (dict(model__target__ema_decay=0.5), "model.target.ema_decay was 0.9 and is now 0.5"),
        (dict(train_dataloader__dataset__source__root="{other}"), "data fingerprint was"),
    ],
)
def test_resuming_another_recipe_is_refused(
    photos: Path, tmp_path: Path, tmp_path_factory: Any, change: dict[str, Any], named: str
) -> None:
    pretrain(tiny_config(photos, tmp_path, train_cfg__max_epochs=1))
    if "train_dataloader__dataset__source__root" in change:
        other = tmp_path_factory.mktemp("other")
        for path in list(photos.iterdir())[:-1]:
            (other / path.name).write_bytes(path.read_bytes())
        change = {key: str(other) for key in change}
    with pytest.raises(DenseCLError, match=named):
        pretrain(tiny_config(photos, tmp_path, train_cfg__max_epochs=1, **change), resume="auto")


def test_absent_checkpoint_and_fresh_start(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DenseCLError, match="nowhere.pth' does not exist"):
        pretrain(tiny_config(photos, tmp_path), resume=tmp_path / "nowhere.pth")
    pretrain(tiny_config(photos, tmp_path, train_cfg__max_epochs=1), resume="auto")
    assert final_state(tmp_path)["loop"]["iter"] == 4
