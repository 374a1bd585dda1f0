"""kill -9 a short run at random moments, resume each time, and compare the final weights.

    python benchmarks/kill_resume.py [--kills 10] [--amp both] [--seed 0]

DenseCL with a ResNet-18 on 24 generated scenes at 48 px, a checkpoint every two iterations.
Every start draws the number of data workers (0, 1 or 2) and the moment of its death, be it while
importing, computing or saving. Prints JSON; the exit status is 1 if a single bit differs.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from dense_cl.engine.checkpoint import find_checkpoints, load_checkpoint
from dense_cl.sources.synthetic import generate_scenes

ROOT = Path(__file__).resolve().parents[1]
RECIPE = """
_base_ = "{configs}/densecl/densecl_resnet18_1xb16_cosine_8e_scenes.py"
model = dict(
    objectives=[
        dict(type="InfoNCE", weight=0.5, queue_size=20, temperature=0.2,
             head=dict(type="MLPHead", hidden_channels=32, out_channels=16)),
        dict(type="DenseInfoNCE", weight=0.5, queue_size=20, temperature=0.2,
             head=dict(type="DenseMLPHead", hidden_channels=32, out_channels=16),
             correspondence=dict(type="FeatureArgmax")),
    ]
)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        source=dict(_delete_=True, type="FolderSource", root="{images}"),
        views=[dict(type="ViewGroup", count=2, size=(48, 48),
                    crop=dict(type="RandomResizedCrop", scale=(0.2, 1.0)),
                    transforms=[dict(type="ColorJitter", p=0.8), dict(type="HorizontalFlip")])],
    ),
)
train_cfg = dict(max_epochs=5)
default_hooks = dict(checkpoint=dict(interval=2, by_epoch=False), logger=dict(interval=5))
"""


def start(recipe: Path, work_dir: Path, amp: bool, workers: int) -> subprocess.Popen:
    """Start or resume the run in a process group of its own."""
    command = [
        sys.executable, "-m", "dense_cl.cli", "pretrain", str(recipe),
        "--work-dir", str(work_dir), "--resume", "--amp" if amp else "--no-amp",
        "--cfg-options", f"train_dataloader.num_workers={workers}",
    ]  # fmt: skip
    log = open(work_dir.with_suffix(".log"), "a")
    return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)


def progress(work_dir: Path) -> int:
    """Return the iteration of the latest checkpoint."""
    checkpoints = find_checkpoints(work_dir)
    return int(checkpoints[0].stem.split("_")[1]) if checkpoints else 0


def finish(process: subprocess.Popen, work_dir: Path) -> None:
    """Let a run end; show its log if it fails."""
    if process.wait() != 0:
        raise SystemExit(work_dir.with_suffix(".log").read_text()[-3000:])


def compare(first: Path, second: Path) -> tuple[int, list[str]]:
    """Return the number of tensors and the names of those that differ."""
    ours, theirs = (load_checkpoint(find_checkpoints(folder)[0]) for folder in (first, second))
    weights = ours["state_dict"]
    different = [k for k, v in weights.items() if not torch.equal(v, theirs["state_dict"][k])]
    return len(weights), different


def trial(folder: Path, recipe: Path, amp: bool, kills: int, rng: random.Random) -> dict:
    """Run undisturbed, then run and kill, and compare."""
    name = "amp" if amp else "float32"
    whole, pieces = folder / f"whole_{name}", folder / f"pieces_{name}"
    began = time.perf_counter()
    finish(start(recipe, whole, amp, workers=2), whole)
    seconds = time.perf_counter() - began
    training = json.loads((whole / "summary.json").read_text())["wall_seconds"]
    startup = seconds - training
    iterations = progress(whole)
    deaths = []
    for target in sorted(rng.randrange(iterations - 2) for _ in range(kills)):
        workers = rng.randrange(3)
        process = start(recipe, pieces, amp, workers)
        resumed_at = progress(pieces)
        while progress(pieces) < target and process.poll() is None:
            time.sleep(0.005)
        # Within the two iterations to the next checkpoint, or if the last life got further than
        # this target, anywhere between the first import and the first iterations.
        spread = startup if resumed_at >= target else 2 * training / iterations
        time.sleep(spread * rng.random())
        if process.poll() is not None:
            raise SystemExit(f"over before it was killed, status {process.returncode}")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        deaths.append(
            {
                "resumed_at": resumed_at,
                "saved_iteration": progress(pieces),
                "workers": workers,
                "while_saving": any(pieces.glob("checkpoints/.*.tmp")),
            }
        )
    finish(start(recipe, pieces, amp, rng.randrange(3)), pieces)
    tensors, different = compare(whole, pieces)
    return {
        "precision": name,
        "optim_wrapper": json.loads((whole / "summary.json").read_text())["optim_wrapper"],
        "iterations": iterations,
        "kills": deaths,
        "tensors_compared": tensors,
        "tensors_different": different,
        "bit_identical": not different,
        "undisturbed_seconds": round(seconds, 1),
    }


def main() -> int:
    """Run the trials and print the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=10, help="over all precisions")
    parser.add_argument("--amp", choices=["on", "off", "both"], default="both")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    modes = {"on": [True], "off": [False], "both": [False, True]}[args.amp]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        generate_scenes(folder / "scenes", {"train": 24}, size=(64, 64))
        recipe = folder / "recipe.py"
        configs = ROOT / "configs"
        recipe.write_text(RECIPE.format(configs=configs, images=folder / "scenes/train"))
        trials = [trial(folder, recipe, amp, args.kills // len(modes), rng) for amp in modes]
    report = {
        "benchmark": "kill_resume",
        "bit_identical": all(t["bit_identical"] for t in trials),
        "kills": sum(len(t["kills"]) for t in trials),
        "seconds": round(time.perf_counter() - began, 1),
        "torch": torch.__version__,
        "trials": trials,
    }
    print(json.dumps(report, indent=2))
    return 0 if report["bit_identical"] else 1


if __name__ == "__main__":
    sys.exit(main())
