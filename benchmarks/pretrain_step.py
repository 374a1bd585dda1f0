"""Time of a pretraining step and memory of the dense loss, beside lightly's MoCo recipe.

    python benchmarks/pretrain_step.py                       # R50, batch 32, 224 px: minutes
    python benchmarks/pretrain_step.py --depth 18 --size 96 --batch 16 --queue 4096   # seconds

Prints one JSON object. The three recipes take turns, so that a busy machine slows all alike, and
medians are compared. Ours run as shipped (channels_last, bfloat16 autocast where the processor has
it); lightly's is its MoCo v2 recipe (``benchmarks/imagenet/resnet50/mocov2.py`` and the MoCo
tutorial of lightly 1.6): ResNet, ``MoCoProjectionHead``, ``NTXentLoss`` with a memory bank, batch
shuffle, momentum update, float32. Images are in memory: this is about the model, not the input.
"""

import argparse
import copy
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

import dense_cl.objectives  # noqa: F401  (registers them)
from dense_cl.engine.amp import apply_amp
from dense_cl.losses.dense_info_nce import dense_info_nce
from dense_cl.models import Learner
from dense_cl.registry import OPTIM_WRAPPERS
from dense_cl.views.batch import ViewBatch

Step = Callable[[], Any]


def our_step(dense: bool, args: argparse.Namespace) -> Step:
    """Return a training step of MoCo-v2, or of DenseCL."""
    common = {"queue_size": args.queue, "temperature": 0.2, "weight": 0.5 if dense else 1.0}
    objectives = [dict(common, type="InfoNCE", head={"type": "MLPHead"})]
    if dense:
        objectives.append(dict(common, type="DenseInfoNCE", head={"type": "DenseMLPHead"}))
    learner = Learner(
        backbone={"type": "ResNet", "depth": args.depth},
        target={"ema_decay": 0.999},
        objectives=objectives,
    ).to(args.device)
    wrapper: OptimWrapper = OPTIM_WRAPPERS.build(
        dict(
            apply_amp({"type": "OptimWrapper"}, args.amp),
            optimizer=torch.optim.SGD(learner.parameters(), lr=0.03, momentum=0.9),
        )
    )
    data = {"views": [random_view(args.batch, args.size) for _ in range(2)]}
    return lambda: learner.train_step(data, wrapper)


def random_view(batch: int, size: int) -> ViewBatch:
    """Return a batch of noise as the loader would give it."""
    return ViewBatch(
        image=torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8),
        matrix=torch.eye(3, dtype=torch.float64)[:2].expand(batch, 2, 3),
        source_size=torch.tensor([size, size]).expand(batch, 2),
        view_size=(size, size),
    )


def lightly_step(args: argparse.Namespace) -> Step:
    """Return a training step of lightly's MoCo-v2 recipe."""
    import torchvision
    from lightly.loss import NTXentLoss
    from lightly.models.modules import MoCoProjectionHead
    from lightly.models.utils import batch_shuffle, batch_unshuffle, update_momentum

    resnet = getattr(torchvision.models, f"resnet{args.depth}")()
    channels = resnet.fc.in_features
    resnet.fc = nn.Identity()
    online = nn.Sequential(resnet, MoCoProjectionHead(channels, 2048, 128)).to(args.device)
    target = copy.deepcopy(online).requires_grad_(False)
    criterion = NTXentLoss(temperature=0.2, memory_bank_size=(args.queue, 128)).to(args.device)
    optimizer = torch.optim.SGD(online.parameters(), lr=0.03, momentum=0.9)
    shape = (args.batch, 3, args.size, args.size)
    query_image, key_image = (torch.randn(shape, device=args.device) for _ in range(2))

    def step() -> None:
        update_momentum(online, target, m=0.999)
        query = online(query_image)
        with torch.no_grad():
            shuffled, order = batch_shuffle(key_image)
            key = batch_unshuffle(target(shuffled), order)
        loss = criterion(query, key)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def alternate(steps: dict[str, Step], repeats: int, device: str) -> dict[str, list[list[float]]]:
    """Return wall and processor seconds of every repetition, after one of each to warm up."""
    seconds: dict[str, list[list[float]]] = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            wall, processor = time.perf_counter(), time.process_time()
            step()
            if device == "cuda":
                torch.cuda.synchronize()
            if repeat:
                spent = [time.perf_counter() - wall, time.process_time() - processor]
                seconds[name].append([round(value, 4) for value in spent])
    return seconds


def compare(seconds: dict[str, list[list[float]]], clock: int) -> dict[str, float]:
    """Return medians by one of the clocks, and how the recipes compare by it."""
    median = {
        name: statistics.median(pair[clock] for pair in pairs) for name, pairs in seconds.items()
    }
    return {
        **{f"{name}_seconds": round(value, 4) for name, value in median.items()},
        "densecl_over_moco_v2": round(median["densecl"] / median["moco_v2"], 3),
        "speedup_over_lightly": round(median["lightly_moco_v2"] / median["moco_v2"], 2),
    }


def naive_dense_loss(
    query_BDS: Tensor, key_BDS: Tensor, indices_BS: Tensor, bank_KD: Tensor
) -> Tensor:
    """The dense loss through one (B·S, K+1) matrix of logits, as usually written."""
    positive_BDS = key_BDS.gather(2, indices_BS[:, None].expand_as(query_BDS))
    query_ND, positive_ND = (
        F.normalize(x, dim=1).transpose(1, 2).flatten(0, 1) for x in (query_BDS, positive_BDS)
    )
    positive_N1 = (query_ND * positive_ND).sum(dim=1, keepdim=True)
    logits = torch.cat([positive_N1, query_ND @ bank_KD.T], dim=1) / 0.2
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def loss_memory(kind: str, args: argparse.Namespace) -> float:
    """Return the MB that forward and backward of the dense loss add at their peak.

    On a CPU run it in a process of its own: freed memory is not always given back.
    """
    locations = (args.size // 32) ** 2
    query = torch.randn(args.batch, 128, locations, device=args.device, requires_grad=True)
    key = torch.randn(args.batch, 128, locations, device=args.device)
    indices = torch.randint(locations, (args.batch, locations), device=args.device)
    bank = F.normalize(torch.randn(args.queue, 128, device=args.device), dim=1)

    def run(images: int, negatives: int) -> None:
        inputs = query[:images], key[:images], indices[:images], bank[:negatives]
        if kind == "naive":
            naive_dense_loss(*inputs).backward()
        else:
            dense_info_nce(*inputs, temperature=0.2).loss.backward()

    run(images=1, negatives=64)  # libraries allocate their work space now
    if args.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run(args.batch, args.queue)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    before = resident_mb("VmRSS")
    run(args.batch, args.queue)
    return resident_mb("VmHWM") - before


def resident_mb(field: str) -> float:
    """Return the resident memory of this process: now (VmRSS) or at its peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith(field)).split()[1]) / 2**10


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", type=int, default=50, help="of the ResNet")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224, help="of the views, in pixels")
    parser.add_argument("--queue", type=int, default=65536)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--amp", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--memory-of", choices=["chunked", "naive"], help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.manual_seed(0)
    if args.memory_of:
        print(loss_memory(args.memory_of, args))
        return
    again = [sys.executable, *sys.argv, "--memory-of"]
    memory = {
        kind: round(float(subprocess.check_output([*again, kind], text=True)), 1)
        for kind in ("chunked", "naive")
    }
    steps = {
        "moco_v2": our_step(dense=False, args=args),
        "densecl": our_step(dense=True, args=args),
        "lightly_moco_v2": lightly_step(args),
    }
    seconds = alternate(steps, args.repeats, args.device)
    settings = {k: v for k, v in vars(args).items() if k != "memory_of"}
    result = {
        "settings": {**settings, "threads": torch.get_num_threads(), "torch": torch.__version__},
        "wall": compare(seconds, clock=0),
        # What the work costs on a CPU, whatever else the machine is doing meanwhile.
        **({"processor": compare(seconds, clock=1)} if args.device == "cpu" else {}),
        "wall_and_processor_seconds": seconds,
        "dense_loss_peak_mb": memory,
        "one_logit_matrix_mb": args.batch * (args.size // 32) ** 2 * args.queue * 4 / 2**20,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
