"""PCK: key points of one object found again in another of its class, by frozen features alone."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.frozen import open_backbone
from dense_cl.evaluation.keypoint_objects import ObjectCrops
from dense_cl.evaluation.keypoint_transfer import ALPHA, correct_points, transfer_points
from dense_cl.evaluation.pictures import Pictures
from dense_cl.evaluation.results import make_result


def evaluate_keypoints(
    backbone: str | Path | nn.Module,
    crops: ObjectCrops,
    pairs: int = 1000,
    size: int = 224,
    stage: int = -2,
    alpha: float = ALPHA,
    seed: int = 0,
    draw_seed: int = 0,
    extraction: Extraction | None = None,
) -> dict[str, Any]:
    """Match key points between random pairs of objects of one class, in different photos.

    Objects are cut out by their boxes, so that the question is where on the object a point lies,
    not which object of the photo is meant; they are resized to squares. A point counts if both
    objects show it.

    Args:
        backbone: exported file, ``random``, ``random:ARCH``, ``FILE:ARCH``, or a module.
        crops: objects with key points.
        pairs: number of pairs.
        size: side of the squares.
        stage: feature map to match; the last but one, as the last is coarse.
        alpha: tolerance, as a part of the larger side of the box.
        seed: of the backbone: of its pretraining, or its random weights.
        draw_seed: of the pairs, which are the same for all backbones.
        extraction: cache, workers and progress.

    Returns:
        A result (see ``results``) with ``scores`` ``pck``: the share of points found, averaged over
        pairs; a record is of a pair.

    Raises:
        DenseCLError: wrong input; says what and how to mend it.
    """
    chosen = choose_pairs(crops, pairs, draw_seed)
    name, frozen = open_backbone(backbone, seed)
    options = extraction or Extraction()
    (maps,) = options.maps(frozen, Pictures(crops, "whole", (size, size)), [stage], "object")
    records = []
    for number, (first, second) in enumerate(chosen):
        both = crops.objects[first].visible & crops.objects[second].visible
        start, truth = (crops.objects[i].points[both] for i in (first, second))
        relative = (start - _corner(crops, first)) / _size(crops, first)
        found = transfer_points(maps[first], maps[second], relative, (size, size))
        place = found * _size(crops, second) + _corner(crops, second)
        box = torch.tensor(crops.objects[second].box[2:])
        right = correct_points(place, truth, box, alpha)
        records.append(
            {
                "image": f"{number}: {crops.name(first)} -> {crops.name(second)}",
                "pck": right.double().mean().item(),
                "points": len(right),
            }
        )
    return make_result(
        "keypoints",
        name,
        seed,
        {"pck": float(np.mean([record["pck"] for record in records]))},
        records,
        {
            "size": size,
            "stage": stage,
            "alpha": alpha,
            "pairs": len(records),
            "draw_seed": draw_seed,
            "objects": len(crops),
        },
    )


def choose_pairs(crops: ObjectCrops, count: int, seed: int) -> list[tuple[int, int]]:
    """Draw ordered pairs of objects of one class in different photos that show a common point.

    Objects take turns in a random order to be the first. Those without a partner are passed over,
    so that there may be fewer pairs than asked for.

    Raises:
        DenseCLError: there is no such pair.
    """
    rng = np.random.default_rng(seed)
    category = np.array([each.category for each in crops.objects])
    image = np.array([each.image for each in crops.objects])
    visible = pad_sequence([each.visible for each in crops.objects], batch_first=True).numpy()
    order = rng.permutation(len(crops))
    drawn: list[tuple[int, int]] = []
    for turn in range(max(count, len(crops))):
        if len(drawn) == count:
            break
        first = int(order[turn % len(crops)])
        common = (visible & visible[first]).any(axis=1)
        fits = common & (category == category[first]) & (image != image[first])
        if fits.any():
            drawn.append((first, int(rng.choice(np.flatnonzero(fits)))))
    if not drawn:
        raise DenseCLError(
            "no two objects of one class in different photos show the same key point; give more"
            " labelled photos."
        )
    return drawn


def _corner(crops: ObjectCrops, index: int) -> Tensor:
    return torch.tensor(crops.pixels(index)[:2], dtype=torch.float32)


def _size(crops: ObjectCrops, index: int) -> Tensor:
    x1, y1, x2, y2 = crops.pixels(index)
    return torch.tensor([x2 - x1, y2 - y1], dtype=torch.float32)
