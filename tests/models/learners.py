"""A learner and data small enough to run in milliseconds, shared by the tests of models."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

import dense_cl.objectives  # noqa: F401  (registers them)
from dense_cl.models import Learner
from dense_cl.models.norm import norm_layer
from dense_cl.regions.regions import RegionBatch
from dense_cl.registry import MODELS
from dense_cl.views.batch import ViewBatch

QUEUE = 10


@MODELS.register_module()
class TwoConvolutions(nn.Module):
    """Two stages, strides 4 and 8; leaves its channels to be found out."""

    def __init__(self, norm: str = "BN") -> None:
        super().__init__()
        layer = norm_layer(norm)
        self.first = nn.Sequential(nn.Conv2d(3, 32, 4, 4, bias=False), layer(32), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(32, 64, 2, 2, bias=False), layer(64), nn.ReLU())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        first = self.first(x)
        return first, self.second(first)


def info_nce(**options: Any) -> dict[str, Any]:
    head = {"type": "MLPHead", "hidden_channels": 16, "out_channels": 8}
    return {"type": "InfoNCE", "queue_size": QUEUE, "head": head, **options}


def dense_info_nce(provider: str = "FeatureArgmax", **options: Any) -> dict[str, Any]:
    grid = options.pop("grid_size", None)
    head = {"type": "DenseMLPHead", "hidden_channels": 16, "out_channels": 8, "grid_size": grid}
    common = {"queue_size": QUEUE, "head": head, "correspondence": {"type": provider}}
    return {"type": "DenseInfoNCE", **common, **options}


_HEAD = {"type": "MLPHead", "hidden_channels": 16, "out_channels": 8, "norm": "SyncBN"}
_PREDICTOR = {"hidden_channels": 16, "norm": "SyncBN"}
# Image-level methods but MoCo, with the heads of the papers in small.
IMAGE_METHODS: dict[str, dict[str, Any]] = {
    "simclr": {"type": "SimCLR", "head": {**_HEAD, "norm_last": True}},
    "moco_v3": {"type": "MoCoV3", "head": {**_HEAD, "norm_last": True}, "predictor": _PREDICTOR},
    "byol": {"type": "BYOL", "head": _HEAD, "predictor": _PREDICTOR},
    "simsiam": {"type": "SimSiam", "head": {**_HEAD, "norm_last": True}, "predictor": _PREDICTOR},
    "barlow_twins": {"type": "BarlowTwins", "head": {**_HEAD, "num_layers": 3}},
    "vicreg": {"type": "VICReg", "head": {**_HEAD, "num_layers": 3}},
    "swav": {
        "type": "SwAV",
        "head": _HEAD,
        "num_prototypes": 6,
        "num_views": 2,
        "freeze_steps": 1,
        "queue_size": 3,  # smaller than a batch, and no divisor of it
    },
    "deepcluster_v2": {
        "type": "DeepClusterV2",
        "head": _HEAD,
        "num_clusters": (3, 2, 4),
        "num_views": 2,
    },
}
BOX_METHODS: dict[str, dict[str, Any]] = {
    "resim": {
        "type": "ReSim",
        "stages": (-1, -2),
        "windows": (16, 8),
        "strides": (8, 8),
        "gather": (True, True),
        "channels": 32,
        "norm": "SyncBN",
    },
    "soco": {
        "type": "SoCo",
        "head": _HEAD,
        "predictor": _PREDICTOR,
        "num_views": 2,
        "level_sizes": (12,),
        "channels": 32,
        "side": 3,
        "num_convs": 1,
        "fc_channels": 32,
        "norm": "SyncBN",
    },
}
_DENSE_HEAD = {**_HEAD, "type": "DenseMLPHead"}
PIXEL_METHODS: dict[str, dict[str, Any]] = {
    "pixcontrast": {"type": "PixContrast", "head": _DENSE_HEAD},
    "pixpro": {"type": "PixPro", "head": _DENSE_HEAD, "transform_layers": 2},
    "vicregl": {
        "type": "VICRegL",
        "head": {**_DENSE_HEAD, "num_layers": 3},
        "feature_matches": (6, 3),
        "location_matches": (6, 3),
    },
}


def attention(**options: Any) -> dict[str, Any]:
    return {"type": "GradCAMAttention", "weight": 3.0, **options}


# Everything that a curve is kept of.
METHODS: dict[str, list[dict[str, Any]]] = {
    **{name: [objective] for name, objective in (IMAGE_METHODS | PIXEL_METHODS).items()},
    "moco_v2": [info_nce()],
    "densecl": [info_nce(weight=0.5), dense_info_nce(weight=0.5)],
    "resim": [info_nce(), BOX_METHODS["resim"]],
    "soco": [BOX_METHODS["soco"]],
    "cast": [info_nce(), attention()],
}


def build_learner(*objectives: dict[str, Any], norm: str = "BN", **options: Any) -> Learner:
    """A float64 learner with the same weights every time."""
    torch.manual_seed(0)
    settings = {"target": {"ema_decay": 0.9}, **options}
    backbone = {"type": "TwoConvolutions", "norm": norm}
    return Learner(backbone=backbone, objectives=list(objectives), **settings).double()


def begin(learner: Learner, *batches: dict[str, Any], num_images: int | None = None) -> None:
    """What the engine does before the first step; the batches are the data set."""
    learner.prepare(num_images or max(int(batch["index"].max()) + 1 for batch in batches), seed=0)
    if learner.observed_views:
        for batch in batches:
            learner.observe(batch)
    learner.before_epoch(0)


def random_data(batch: int, size: int = 32, views: int = 2, seed: int = 0) -> dict[str, Any]:
    """What the loader gives; every view is the whole source, and shows the same random boxes.

    What is salient differs from view to view; nothing is in the second image.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, size, size, 3)
    regions = random_boxes(batch, size, seed)
    return {
        "views": [
            ViewBatch(
                image=torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator),
                matrix=torch.eye(3, dtype=torch.float64)[:2].repeat(batch, 1, 1),
                source_size=torch.tensor([[size, size]]).repeat(batch, 1),
                view_size=(size, size),
                regions=regions,
                saliency=random_saliency(batch, size, seed + 100 * number),
            )
            for number in range(views)
        ],
        "index": torch.arange(batch),
        "unreadable": [],
    }


def random_boxes(batch: int, size: int, seed: int) -> RegionBatch:
    """Zero to four boxes in each image."""
    generator = torch.Generator().manual_seed(1000 + seed)
    corners = torch.rand(batch, 4, 2, 2, generator=generator).sort(dim=2).values * (size - 4)
    boxes = corners.flatten(2) + torch.tensor([0, 0, 4, 4])
    count = torch.randint(0, 5, (batch, 1), generator=generator)
    visible = (torch.arange(4) < count).float()
    return RegionBatch(boxes=boxes * visible[..., None], visible=visible)


def random_saliency(batch: int, size: int, seed: int) -> Tensor:
    """A rectangle of a quarter to three quarters of the side in each image but the second."""
    generator = torch.Generator().manual_seed(2000 + seed)
    length = (0.25 + 0.5 * torch.rand(2, batch, 1, generator=generator)) * size
    start = torch.rand(2, batch, 1, generator=generator) * (size - length)
    pixel = torch.arange(size)
    rows, columns = (start <= pixel) & (pixel < start + length)
    return rows[:, :, None] & columns[:, None] & (torch.arange(batch) != 1)[:, None, None]


def images_of(data: dict[str, Any], start: int, stop: int) -> dict[str, Any]:
    """The same data with images ``start`` to ``stop`` only."""
    rows = slice(start, stop)
    views = [
        replace(
            v,
            image=v.image[rows],
            matrix=v.matrix[rows],
            source_size=v.source_size[rows],
            regions=v.regions and v.regions.map(lambda tensor: tensor[rows]),
            saliency=v.saliency[rows],
        )
        for v in data["views"]
    ]
    return {"views": views, "index": data["index"][rows], "unreadable": []}
