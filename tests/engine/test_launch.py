"""The command line as a process: two ranks over gloo, signals, kill -9."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dense_cl import pretrain
from dense_cl.engine.checkpoint import POINTER, find_checkpoints, load_checkpoint
from tests.engine.tiny import DEEPCLUSTER, SWAV, clustering_config, tiny_config

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", PYTHON=sys.executable)


def write_recipe(path: Path, photos: Path, epochs: int) -> Path:
    """Write the tiny recipe, with every kind of memory, as a file for a fresh process."""
    objectives = [*tiny_config("", "").model.objectives, SWAV, DEEPCLUSTER]
    cfg = clustering_config(objectives, photos, "", train_cfg__max_epochs=epochs)
    cfg.custom_imports = dict(imports=["tests.engine.tiny"])
    cfg.default_hooks.checkpoint = dict(interval=1, by_epoch=False)
    cfg.dump(path)
    return path


def start(recipe: Path, work_dir: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "dense_cl.cli", "pretrain", str(recipe)]
    return subprocess.Popen(
        [*command, "--work-dir", str(work_dir), *options],
        cwd=ROOT, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def wait_for_checkpoint(process: subprocess.Popen, work_dir: Path, count: int) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        checkpoints = find_checkpoints(work_dir)
        if checkpoints and int(checkpoints[0].stem.split("_")[1]) >= count:
            return
        time.sleep(0.002)
    raise AssertionError(process.communicate()[0])


def test_killed_and_terminated_process_goes_on_bit_identically(
    photos: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path / "recipe.py", photos, epochs=15)
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    workers = ["--cfg-options", "train_dataloader.num_workers=1"]
    killed = start(recipe, pieces, *workers)
    wait_for_checkpoint(killed, pieces, 7)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    terminated = start(recipe, pieces, "--resume")
    wait_for_checkpoint(terminated, pieces, 20)
    terminated.send_signal(signal.SIGTERM)
    output = terminated.communicate(timeout=60)[0]
    assert terminated.returncode == 143, output
    assert "--resume" in output.splitlines()[-1]
    pretrain(recipe, work_dir=pieces, resume="auto")
    pretrain(recipe, work_dir=whole)
    ours, theirs = (
        load_checkpoint(folder / (folder / POINTER).read_text()) for folder in (whole, pieces)
    )
    assert ours["loop"]["iter"] == theirs["loop"]["iter"] == 60
    for key, value in ours["state_dict"].items():
        assert torch.equal(value, theirs["state_dict"][key]), key


def test_mistake_is_one_line_and_status_2(photos: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe.py", photos, epochs=1)
    process = start(recipe, tmp_path / "run", "--cfg-options", "train_dataloader.batch_sise=2")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 2
    assert "Did you mean 'batch_size'?" in output and "Traceback" not in output


@pytest.mark.slow
def test_two_processes_train_quarantine_and_resume(photos: Path, tmp_path: Path) -> None:
    broken = tmp_path / "photos"
    broken.mkdir()
    for path in photos.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "zz_broken.jpg").write_bytes(b"no image")
    recipe = write_recipe(tmp_path / "recipe.py", broken, epochs=4)
    watched = "\ncustom_hooks = [dict(type='DiagnosticsHook', images=4, interval=2)]\n"
    recipe.write_text(recipe.read_text() + watched)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    work_dir = tmp_path / "run"
    command = ["bash", "tools/dist_train.sh", str(recipe), "2", "--work-dir", str(work_dir)]
    options = ["--cfg-options", "default_hooks.quarantine.limit=0.1"]

    def train(*extra: str) -> dict:
        done = subprocess.run(
            [*command, *extra, *options], cwd=ROOT, env=dict(ENVIRONMENT, PORT=port),
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return load_checkpoint(work_dir / "checkpoints/iter_8.pth")

    checkpoint = train()
    (work_dir / "checkpoints/iter_8.pth").unlink()
    resumed = train("--resume")
    for key, value in checkpoint["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][key]), key
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    scalars = (work_dir / "vis_data/scalars.json").read_text().splitlines()
    measured = [r["step"] for r in map(json.loads, scalars) if "diagnostics_rankme" in r]
    assert measured == [0, 4, 8]  # by one of the ranks; a resumed part replaces what it repeats
    assert (summary["processes"], summary["iterations"], summary["resumed_at"]) == (2, 8, 7)
    assert summary["quarantined"] == 1
    assert len(checkpoint["rng"]) == 2
    state = checkpoint["state_dict"]
    assert state["objectives.info_nce.bank.filled"] == 12
    assert state["objectives.swav.queue.filled"] == 6
    seen = state["objectives.deepcluster_v2.memory"][0].any(dim=1)
    assert seen.sum() == 18 and not seen[18]  # all but the broken one, on both ranks
