"""Methods on label maps and learned groups in small, and data with geometry and regions."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from learners import random_data

from dense_cl.views.geometry import ViewGeometry

_HEAD = {"type": "MLPHead", "hidden_channels": 16, "out_channels": 8, "norm": "SyncBN"}
_PREDICTOR = {"hidden_channels": 16, "norm": "SyncBN"}
_GELU = {"activation": "GELU"}
REGION_METHODS: dict[str, dict[str, Any]] = {
    "detcon_s": {"type": "DetConS", "head": _HEAD, "num_regions": 5},
    "detcon_b": {"type": "DetConB", "head": _HEAD, "predictor": _PREDICTOR, "num_regions": 5},
    "slotcon": {
        "type": "SlotCon",
        "head": {**_HEAD, **_GELU, "num_layers": 3},
        "predictor": {**_PREDICTOR, **_GELU},
        "num_prototypes": 6,
    },
    "leopart": {
        "type": "Leopart",
        "head": {**_HEAD, **_GELU, "norm": None},
        "num_prototypes": 6,
        "num_views": 2,
        "grid_size": 3,
        "queue_size": 10,  # smaller than what a batch brings, and no divisor of it
        "queue_per_image": 3,
    },
}
SOURCE = 64


def source_regions() -> np.ndarray:
    """Sixteen squares of 16 px, ids row by row, and a stripe that belongs to none."""
    squares = np.arange(16, dtype=np.int16).reshape(4, 4).repeat(16, 0).repeat(16, 1)
    squares[:, -8:] = -1
    return squares


def crop(rng: np.random.Generator, size: int) -> ViewGeometry:
    """A box of 24 to 56 px of the source, flipped half of the time."""
    width, height = rng.integers(24, 57, 2)
    x, y = rng.integers(0, SOURCE - width + 1), rng.integers(0, SOURCE - height + 1)
    geometry = ViewGeometry.from_box((x, y, x + width, y + height), (size,) * 2, (SOURCE,) * 2)
    flip = ViewGeometry(np.array([[-1.0, 0, size], [0, 1, 0]]), (size,) * 2, (size,) * 2)
    return geometry.then(flip) if rng.random() < 0.5 else geometry


def region_data(batch: int, size: int = 32, views: int = 2, seed: int = 0) -> dict[str, Any]:
    """``random_data`` with crops and the label maps that they show; colours follow the regions.

    The first pair of views of the batch has no overlap.
    """
    data = random_data(batch, size, views, seed)
    rng = np.random.default_rng(seed)
    whole = ViewGeometry.identity((SOURCE, SOURCE))
    for number, view in enumerate(data["views"]):
        geometry = [crop(rng, size) for _ in range(batch)]
        x = 32 * (number % 2)
        geometry[0] = ViewGeometry.from_box((x, 0, x + 32, 40), (size,) * 2, (SOURCE,) * 2)
        labels = [whole.map_mask_to(g, source_regions(), fill=-1) for g in geometry]
        label_map = torch.from_numpy(np.stack(labels))
        data["views"][number] = replace(
            view,
            image=(view.image // 4 + (label_map[..., None] * 11 + 11).byte()),
            matrix=torch.from_numpy(np.stack([g.matrix for g in geometry])),
            source_size=torch.tensor([[SOURCE, SOURCE]]).repeat(batch, 1),
            regions=replace(view.regions, label_map=label_map),
        )
    return data
