"""What each of two gloo processes runs for ``test_region_distributed``."""

import itertools
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from learners import build_learner, images_of
from region_learners import REGION_METHODS, region_data
from two_processes import BATCH, STEPS, train

from dense_cl.engine.distributed import DistributedLearner

CASES = list(itertools.product(REGION_METHODS, ["GN", "SyncBN"]))
# Means over what all processes have, not over the processes. Few slots of one image are padded for
# the statistics of a predictor, so that one without any is compared.
UNEVEN = {
    "slotcon": {
        **REGION_METHODS["slotcon"],
        "predictor": {"hidden_channels": 16, "norm": None},
    },
    "leopart": REGION_METHODS["leopart"],
}


def batches() -> list[dict[str, Any]]:
    return [region_data(BATCH, seed=seed) for seed in range(STEPS)]


def whole(method: dict[str, Any], norm: str) -> dict[str, Any]:
    learner = build_learner(method, norm=norm)
    return train(learner, learner, batches())


def split(method: dict[str, Any], norm: str, boundary: int) -> dict[str, Any]:
    learner = build_learner(method, norm=norm)
    rows = (0, boundary) if dist.get_rank() == 0 else (boundary, BATCH)
    mine = [images_of(batch, *rows) for batch in batches()]
    return train(DistributedLearner(learner), learner, mine)


def run(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    results = {f"{m}_{n}": split(REGION_METHODS[m], n, BATCH // 2) for m, n in CASES}
    results |= {f"{m}_uneven": split(UNEVEN[m], "SyncBN", BATCH - 1) for m in UNEVEN}
    torch.save(results, Path(folder) / f"rank{rank}.pth")
    dist.destroy_process_group()
