"""A run that is stopped anywhere and resumed ends with the weights of one that was not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from dense_cl import pretrain
from dense_cl.engine.config import load_config
from dense_cl.engine.signals import TrainingStopped
from dense_cl.errors import DenseCLError
from tests.engine.interrupt import SAVE_OFTEN, PowerCut, differences, final_state, with_action
from tests.engine.tiny import tiny_config


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


def test_the_small_recipes_optimiser_and_schedule_resume_exactly(
    photos: Path, tmp_path: Path
) -> None:
    def run(name: str) -> Any:
        cfg = tiny_config(photos, tmp_path / name, **SAVE_OFTEN)
        recipe = load_config("moco_v2_resnet18_1xb32_cosine_40e_voc_animals")
        cfg.optim_wrapper, cfg.param_scheduler = recipe.optim_wrapper, recipe.param_scheduler
        return cfg

    pretrain(run("whole"))
    with pytest.raises(PowerCut):
        pretrain(with_action(run("cut"), 5, "cut"))
    pretrain(run("cut"), resume="auto")
    expected = final_state(tmp_path / "whole")
    assert differences(expected, final_state(tmp_path / "cut")) == []
    begun = torch.load(tmp_path / "cut/checkpoints/iter_11.pth", weights_only=True)
    assert begun["optimizer"]["param_groups"][0]["fused"]


@pytest.mark.filterwarnings("error:Detected call of")
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
    (tmp_path / "checkpoints/iter_6.pth").unlink()  # step 6 has been logged, and will be again
    result = pretrain(tiny_config(photos, tmp_path, **SAVE_OFTEN), resume="auto")
    lines = (tmp_path / "vis_data/scalars.json").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == [2, 4, 6, 8, 10, 12]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["iterations"], summary["resumed_at"]) == (12, 5)
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


def test_resuming_with_other_masks_is_refused(photos: Path, tmp_path: Path) -> None:
    """They are known by their content: a folder that has moved is the same."""

    def run(masks: Path) -> Config:
        cfg = tiny_config(photos, tmp_path / "run", train_cfg__max_epochs=1)
        cfg.train_dataloader.dataset.saliency = dict(type="SaliencyMasks", root=str(masks))
        return cfg

    masks = tmp_path / "masks"
    masks.mkdir()
    for photo in photos.iterdir():
        with Image.open(photo) as picture:
            values = np.zeros(picture.size[::-1], np.uint8)
        values[5:20, 5:20] = 255
        Image.fromarray(values).save(masks / f"{photo.stem}.png")
    pretrain(run(masks))
    moved = masks.rename(tmp_path / "moved")
    pretrain(run(moved), resume="auto")
    file = next(moved.iterdir())
    Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    with pytest.raises(DenseCLError, match="fingerprint of saliency was"):
        pretrain(run(moved), resume="auto")


def test_a_refused_run_leaves_the_settings_to_go_on_with(photos: Path, tmp_path: Path) -> None:
    pretrain(tiny_config(photos, tmp_path, train_cfg__max_epochs=1))
    settings = (tmp_path / "config.py").read_text()
    other = dict(train_cfg__max_epochs=1, optim_wrapper__optimizer__lr=0.5)
    with pytest.raises(DenseCLError, match="optimizer.lr was 0.05 and is now 0.5"):
        pretrain(tiny_config(photos, tmp_path, **other), resume="auto")
    assert (tmp_path / "config.py").read_text() == settings
    pretrain(tiny_config(photos, tmp_path, **other))
    (before,) = tmp_path.glob("before_*")
    assert (before / "config.py").read_text() == settings != (tmp_path / "config.py").read_text()


def test_hooks_that_decide_the_weights_belong_to_a_run(photos: Path, tmp_path: Path) -> None:
    def run(*hooks: dict[str, Any]) -> Config:
        cfg = tiny_config(photos, tmp_path, train_cfg__max_epochs=1)
        cfg.custom_hooks = list(hooks)
        return cfg

    freeze = dict(type="FreezeHook", modules=["backbone.shallow"])
    watch = dict(type="DiagnosticsHook", images=4)
    pretrain(run(freeze))
    pretrain(run(watch, freeze), resume="auto")
    with pytest.raises(DenseCLError, match="custom_hooks.0.type was 'FreezeHook'"):
        pretrain(run(watch), resume="auto")


def test_weights_begin_a_run_that_can_be_killed_and_whose_schedules_begin_too(
    photos: Path, tmp_path: Path
) -> None:
    first = pretrain(tiny_config(photos, tmp_path / "first"))

    def run(folder: str) -> Config:
        cfg = tiny_config(photos, tmp_path / folder, load_from=str(first.checkpoint), **SAVE_OFTEN)
        cfg.model.target.ema_decay = dict(kind="cosine", start=0.5, end=1.0)
        return cfg

    pretrain(run("whole"), resume="auto")
    expected = final_state(tmp_path / "whole")
    assert expected["state_dict"]["step"] == 12
    began, ended = (torch.load(file, weights_only=True)["state_dict"] for file in (
        first.checkpoint, tmp_path / "whole" / "checkpoints" / "iter_12.pth"
    ))  # fmt: skip
    key = "target.network.shallow.0.weight"
    assert not torch.equal(began[key], ended[key])  # a decay of 1 would have left it
    with pytest.raises(PowerCut):
        pretrain(with_action(run("cut"), 5, "cut"), resume="auto")
    pretrain(run("cut"), resume="auto")
    assert differences(expected, final_state(tmp_path / "cut")) == []


def test_absent_checkpoint_and_fresh_start(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DenseCLError, match="nowhere.pth' does not exist"):
        pretrain(tiny_config(photos, tmp_path), resume=tmp_path / "nowhere.pth")
    pretrain(tiny_config(photos, tmp_path, train_cfg__max_epochs=1), resume="auto")
    assert final_state(tmp_path)["loop"]["iter"] == 4


def test_a_fresh_run_is_not_mixed_up_with_an_earlier_one(photos: Path, tmp_path: Path) -> None:
    pretrain(tiny_config(photos, tmp_path))
    pretrain(tiny_config(photos, tmp_path, train_cfg__max_epochs=1))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["iter_4.pth"]
    (before,) = tmp_path.glob("before_*")
    assert (before / "checkpoints/iter_12.pth").is_file() and (before / "backbone.pth").is_file()
    lines = (tmp_path / "vis_data/scalars.json").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]


def test_a_recipe_in_the_work_folder_stays_as_it_was_written(photos: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "config.py"
    cfg = tiny_config(photos, tmp_path, train_cfg__max_epochs=1)
    cfg.custom_imports = dict(imports=["tests.engine.tiny"])
    recipe.write_text(f"# by hand\n{cfg.pretty_text}")
    for _ in range(2):
        pretrain(recipe)
        assert recipe.read_text().startswith("# by hand")


def test_a_checkpoint_from_elsewhere_leaves_the_run_that_is_here(
    photos: Path, tmp_path: Path
) -> None:
    def run(folder: str) -> Config:
        return tiny_config(photos, tmp_path / folder, train_cfg__max_epochs=1)

    other = pretrain(run("other")).checkpoint
    pretrain(run("here"))
    pretrain(run("here"), resume=other)
    (before,) = (tmp_path / "here").glob("before_*")
    assert (before / "checkpoints").is_dir() and (before / "vis_data").exists() is False
    assert (before / "backbone.pth").is_file() and (before / "scalars.json").is_file()


def test_two_runs_do_not_share_a_folder(photos: Path, tmp_path: Path) -> None:
    """The other one is killed, and its children live on."""
    code = (
        "import os, sys, time\n"
        "from dense_cl.engine.lock import alone_in\n"
        "with alone_in(sys.argv[1]):\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(60)\n"
        "    print(flush=True)\n"
        "    time.sleep(60)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, start_new_session=True
    )
    assert other.stdout is not None
    other.stdout.readline()
    with pytest.raises(DenseCLError, match="another run works in"):
        pretrain(tiny_config(photos, tmp_path, train_cfg__max_epochs=1))
    other.kill()
    other.wait()
    pretrain(tiny_config(photos, tmp_path, train_cfg__max_epochs=1))
    os.killpg(other.pid, signal.SIGKILL)


def test_nothing_of_an_earlier_run_is_deleted(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "mine.pth").write_bytes(b"precious")
    (tmp_path / "backbone.pth").write_bytes(b"mine")
    pretrain(tiny_config(photos, tmp_path, train_cfg__max_epochs=1), resume="auto")
    (before,) = tmp_path.glob("before_*")
    assert (before / "checkpoints" / "mine.pth").read_bytes() == b"precious"
    assert (before / "backbone.pth").read_bytes() == b"mine"


def test_what_a_run_cannot_begin_with(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", "/proc/nothing"):
        with pytest.raises(DenseCLError, match="work folder .* cannot be written to"):
            pretrain(tiny_config(photos, folder))
    with pytest.raises(DenseCLError, match="train_cfg.max_epochs is 0; give 1 or more"):
        pretrain(tiny_config(photos, tmp_path / "a", train_cfg__max_epochs=0))
    pretrain(tiny_config(photos, tmp_path / "done", train_cfg__max_epochs=1))
    (tmp_path / "wrong.pth").write_bytes(b"text")
    with pytest.raises(DenseCLError, match="wrong.pth' is truncated or damaged"):
        pretrain(tiny_config(photos, tmp_path / "done", load_from=str(tmp_path / "wrong.pth")))
    assert (tmp_path / "done" / "backbone.pth").exists()  # nothing was moved for it
    for changes, message in (
        (dict(train_dataloader__batch_size=0), "batch_size is 0; give 1 or more"),
        (dict(default_hooks__logger=dict(interval=0)), "logger.interval is 0; give 1 or more"),
        (dict(randomness__seed=-1), "randomness.seed is -1; give a number"),
        (dict(randomness=dict(seed=None)), "randomness.seed is None"),
        (dict(randomness__diff_rank_seed=True), "diff_rank_seed: all processes draw one order"),
    ):
        with pytest.raises(DenseCLError, match=message):
            pretrain(tiny_config(photos, tmp_path / "a", **changes))
    with pytest.raises(DenseCLError, match="no launcher 'torch'"):
        pretrain(tiny_config(photos, tmp_path / "a"), launcher="torch")


def test_a_full_disk_names_the_last_good_checkpoint(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if "iter_8" in str(target):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DenseCLError, match="iter_8.pth' cannot be written: No space.*iter_4.pth"):
        pretrain(tiny_config(photos, tmp_path))
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["iter_4.pth"]


def test_an_error_in_a_worker_is_one_line(photos: Path, tmp_path: Path) -> None:
    cfg = tiny_config(photos, tmp_path, train_dataloader__num_workers=1)
    cfg.train_dataloader.dataset["views"][0].transforms = [
        dict(type="RandomCrop", height=500, width=500)
    ]
    with pytest.raises(DenseCLError, match="on image '.*jpg'") as error:
        pretrain(cfg)
    assert "Traceback" not in str(error.value) and str(error.value).count("\n") <= 1
