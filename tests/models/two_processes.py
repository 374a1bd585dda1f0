"""What each of two gloo processes runs for ``test_distributed``; importable by spawned children."""

import itertools
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from learners import (
    BOX_METHODS,
    IMAGE_METHODS,
    PIXEL_METHODS,
    attention,
    begin,
    build_learner,
    dense_info_nce,
    images_of,
    info_nce,
    random_data,
)
from mmengine.optim import OptimWrapper

from dense_cl.engine.distributed import DistributedLearner
from dense_cl.models.batch_shuffle import BatchShuffle
from dense_cl.models.distributed import concat_all_gather
from dense_cl.models.learner import Learner

METHODS = {
    "moco": [info_nce()],
    "densecl": [info_nce(weight=0.5), dense_info_nce(weight=0.5)],
    **{
        name: [objective]
        for name, objective in (IMAGE_METHODS | PIXEL_METHODS | BOX_METHODS).items()
    },
    "cast": [info_nce(), attention()],
    # Batch norm of all ranks between the map and the score is differentiated twice.
    "cast_byol": [IMAGE_METHODS["byol"], attention(layer=0)],
}
# Methods whose mean is over what overlaps, so that processes may have different shares of it.
CROPPED = {
    "resim": METHODS["resim"],
    "densecl_geometric": [dense_info_nce("GeometricNearest")],
    "densecl_mutual": [dense_info_nce("MutualNearest")],
}
CASES = list(itertools.product(METHODS, ["GN", "SyncBN"]))
BATCH, STEPS = 4, 3
CACHED = ("simclr", "moco_v3", "barlow_twins", "vicreg")  # in chunks of one image


def train(model: Any, learner: Learner, batches: list[dict[str, Any]]) -> dict[str, Any]:
    """Return losses and gradients of the first step, and the state after all of them."""
    begin(learner, batches[0], num_images=BATCH)
    loss, _ = learner.parse_losses(model(**learner.data_preprocessor(batches[0], True)))
    loss.backward()
    gradients = {n: p.grad.clone() for n, p in learner.named_parameters() if p.requires_grad}
    model.zero_grad()
    wrapper = OptimWrapper(torch.optim.SGD(learner.parameters(), lr=0.05, momentum=0.9))
    losses = [model.train_step(batch, wrapper)["loss"].detach() for batch in batches]
    learner.before_epoch(1)
    return {"losses": losses, "gradients": gradients, "state": learner.state_dict()}


def batches_of(crops: bool = False) -> list[dict[str, Any]]:
    """The whole batches; with ``crops`` the second views of their images overlap more and more."""
    batches = [random_data(BATCH, seed=s) for s in range(STEPS)]
    for batch in batches if crops else []:
        second = batch["views"][1]
        second.matrix[:, :, 2] = 20 - 8 * torch.arange(BATCH)[:, None]
    return batches


def whole(method: str, norm: str, crops: bool = False) -> dict[str, Any]:
    """Train in this process on whole batches."""
    learner = build_learner(*(CROPPED if crops else METHODS)[method], norm=norm)
    return train(learner, learner, batches_of(crops))


def split(
    method: str, norm: str, boundary: int, crops: bool = False, **options: Any
) -> dict[str, Any]:
    """Train on this rank's part of the same batches; rank 0 has ``boundary`` images."""
    learner = build_learner(*(CROPPED if crops else METHODS)[method], norm=norm, **options)
    rows = (0, boundary) if dist.get_rank() == 0 else (boundary, BATCH)
    batches = [images_of(batch, *rows) for batch in batches_of(crops)]
    return train(DistributedLearner(learner), learner, batches)


def shuffled(images: int) -> dict[str, Any]:
    """Shuffle numbered images of uneven batches and bring them back."""
    mine = torch.arange(images, dtype=torch.float32) + 100 * dist.get_rank()
    mine = (
        mine[:, None, None, None].expand(-1, 2, 3, 3).contiguous(memory_format=torch.channels_last)
    )
    shuffle = BatchShuffle.draw(images, seed=1, device=mine.device)
    there = shuffle.shuffle(mine)
    return {"mine": mine, "there": there, "back": shuffle.unshuffle(there)}


def run(rank: int, folder: str) -> None:
    """Do everything that needs two processes and leave the results in ``folder``."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    results: dict[str, Any] = {f"{m}_{n}": split(m, n, BATCH // 2) for m, n in CASES}
    results |= {f"{m}_cached": split(m, "GN", BATCH // 2, chunk_size=1) for m in CACHED}
    results["uneven"] = split("densecl", "SyncBN", BATCH - 1)
    results |= {f"{m}_crops": split(m, "SyncBN", BATCH // 2, crops=True) for m in CROPPED}
    results["plain_bn"] = split("densecl", "BN", BATCH // 2)
    results["shuffle"] = shuffled(images=3 - rank)
    results["gather"] = concat_all_gather(torch.full((2 * rank, 1), float(rank)))
    torch.save(results, Path(folder) / f"rank{rank}.pth")
    dist.destroy_process_group()
