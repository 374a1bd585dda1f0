"""Features of sets of images, kept on disk set by set."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from dense_cl.evaluation.feature_store import FeatureStore, request
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.evaluation.invariance.image_sets import ImageSets


def set_features(
    backbones: Mapping[str, FrozenBackbone], sets: ImageSets, cache: str | Path | None
) -> dict[str, list[Tensor]]:
    """Return the features of all sets by each backbone, from the cache where they are in it.

    Args:
        backbones: by any names.
        sets: S sets of K images each; K may differ.
        cache: folder; None for none.

    Returns:
        S (K, D) float64 vectors of each backbone.
    """
    stores = {}
    if cache and sets.stamp:
        for key, each in backbones.items():
            stores[key] = FeatureStore(cache, request(each, {"sets": sets.stamp}))
    found: dict[str, list[Tensor]] = {key: [] for key in backbones}
    for index in range(len(sets.names)):
        images = None  # rendering takes longer than most backbones: once for all, or never
        for key, each in backbones.items():
            part = stores[key].read(index) if stores else None
            if part is None:
                images = sets.load(index) if images is None else images
                part = [each.pooled(images).numpy()]
                if stores:
                    stores[key].write(index, part)
            found[key].append(torch.from_numpy(part[0]).double())
    return found
