"""A learner of ORL and its six views, in one process and in each of two; importable by children."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from learners import IMAGE_METHODS, build_learner, images_of, random_data
from two_processes import BATCH, STEPS, train

from dense_cl.engine.distributed import DistributedLearner

ORL = {**IMAGE_METHODS["byol"], "type": "ORL"}
NORMS = ("GN", "SyncBN")


def orl_data(batch: int, seed: int = 0) -> dict[str, Any]:
    """Two views of images of 32 px and four patches of 16, the last of other images."""
    data = random_data(batch, seed=seed)
    patches = random_data(batch, size=16, views=4, seed=100 + seed)["views"]
    data["views"] += [*patches[:3], replace(patches[3], other_image=True)]
    return data


def whole(norm: str) -> dict[str, Any]:
    learner = build_learner(ORL, norm=norm)
    return train(learner, learner, [orl_data(BATCH, s) for s in range(STEPS)])


def run(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    results = {}
    for norm in NORMS:
        learner = build_learner(ORL, norm=norm)
        rows = (0, BATCH // 2) if rank == 0 else (BATCH // 2, BATCH)
        batches = [images_of(orl_data(BATCH, s), *rows) for s in range(STEPS)]
        results[norm] = train(DistributedLearner(learner), learner, batches)
    torch.save(results, Path(folder) / f"rank{rank}.pth")
    dist.destroy_process_group()
