"""The smallest recipe that is a real one: DenseCL with a toy backbone on generated photos."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from torch import Tensor, nn

from dense_cl.registry import MODELS


@MODELS.register_module()
class TinyBackbone(nn.Module):
    """Two strided convolutions with batch norm; checkpoints of kilobytes."""

    out_channels = (8, 16)
    strides = (4, 8)

    def __init__(self) -> None:
        super().__init__()
        self.shallow = nn.Sequential(
            nn.Conv2d(3, 8, 7, 4, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        )
        self.deep = nn.Sequential(
            nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        shallow = self.shallow(image)
        return shallow, self.deep(shallow)


def write_images(folder: Path, count: int, size: int = 40) -> Path:
    """Write ``count`` small JPEGs of coloured noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (size + number % 3, size), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number:03d}.jpg"), image)
    return folder


def tiny_config(data: Path | str, work_dir: Path | str, **changes: Any) -> Config:
    """Return a recipe of milliseconds an iteration; ``changes`` by key with ``__`` for dots."""
    contrast = dict(queue_size=12, temperature=0.2)
    narrow = dict(hidden_channels=16, out_channels=8)
    cfg = Config(
        dict(
            default_scope="dense_cl",
            model=dict(
                type="Learner",
                data_preprocessor=dict(type="ViewPreprocessor"),
                backbone=dict(type="TinyBackbone"),
                target=dict(ema_decay=0.9),
                objectives=[
                    dict(
                        type="InfoNCE", weight=0.5, head=dict(type="MLPHead", **narrow), **contrast
                    ),
                    dict(
                        type="DenseInfoNCE",
                        weight=dict(kind="step", before=0.0, after=0.5, at=3),
                        head=dict(type="DenseMLPHead", **narrow),
                        correspondence=dict(type="FeatureArgmax"),
                        **contrast,
                    ),
                ],
            ),
            train_dataloader=dict(
                batch_size=4,
                num_workers=0,
                dataset=dict(
                    type="ViewDataset",
                    source=dict(type="FolderSource", root=str(data)),
                    views=[
                        dict(
                            type="ViewGroup",
                            count=2,
                            size=(32, 32),
                            crop=dict(type="RandomResizedCrop", scale=(0.2, 1.0)),
                            transforms=[
                                dict(type="ColorJitter", brightness=0.4, hue=0.1, p=0.8),
                                dict(type="HorizontalFlip", p=0.5),
                            ],
                        )
                    ],
                ),
            ),
            optim_wrapper=dict(
                type="OptimWrapper", optimizer=dict(type="SGD", lr=0.05, momentum=0.9)
            ),
            param_scheduler=[dict(type="CosineAnnealingLR", by_epoch=True)],
            train_cfg=dict(type="PretrainLoop", max_epochs=3),
            default_hooks=dict(logger=dict(interval=2, bar=False)),
            amp=False,
            randomness=dict(seed=0),
            work_dir=str(work_dir),
        )
    )
    cfg.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    return cfg


_HEAD = dict(type="MLPHead", hidden_channels=16, out_channels=8, norm="BN")
SWAV = dict(
    type="SwAV",
    head=_HEAD,
    num_prototypes=6,
    num_views=4,
    freeze_steps=2,
    queue_start=2,
    queue_size=6,
)
DEEPCLUSTER = dict(type="DeepClusterV2", head=_HEAD, num_clusters=[3, 4], num_views=4)


def clustering_config(
    objectives: list[dict[str, Any]], data: Path | str, work_dir: Path | str, **changes: Any
) -> Config:
    """Return the tiny recipe for other objectives, with two views of 32 px and two of 16."""
    cfg = tiny_config(data, work_dir, **changes)
    cfg.model.objectives = objectives
    (large,) = cfg.train_dataloader.dataset["views"]
    cfg.train_dataloader.dataset["views"] = [large, dict(large, size=(16, 16))]
    return cfg
