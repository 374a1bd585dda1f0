"""PCK: key points of one object found again in another of its class, by frozen features alone."""

from collections import defaultdict, deque
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
        pairs: number of pairs; fewer if there are no more.
        size: side of the squares.
        stage: feature map to match; the last but one, as the last is coarse.
        alpha: tolerance, as a part of the larger side of the box.
        seed: of the backbone: of its pretraining, or its random weights.
        draw_seed: of the pairs, which are the same for all backbones.
        extraction: cache, workers and progress.

    Returns:
        A result (see ``results``) with ``scores`` ``pck``: the share of points found, averaged over
        the pairs of a photo and then over photos. A record is of a photo, whose objects are the
        first of its pairs: pairs that share a photo are no independent measurements.

    Raises:
        DenseCLError: wrong input; says what and how to mend it.
    """
    if pairs < 1 or alpha <= 0:
        raise DenseCLError(
            f"{pairs} pairs at a tolerance of {alpha}: one pair at least is needed, and a tolerance"
            " above 0."
        )
    chosen = choose_pairs(crops, pairs, draw_seed)
    name, frozen = open_backbone(backbone, seed)
    options = extraction or Extraction()
    (maps,) = options.maps(frozen, Pictures(crops, "whole", (size, size)), [stage], "object")
    found_by_photo: dict[int, list[Tensor]] = defaultdict(list)
    for first, second in chosen:
        both = crops.objects[first].visible & crops.objects[second].visible
        start, truth = (crops.objects[i].points[both] for i in (first, second))
        relative = (start - _corner(crops, first)) / _size(crops, first)
        found = transfer_points(maps[first], maps[second], relative, (size, size))
        place = found * _size(crops, second) + _corner(crops, second)
        box = torch.tensor(crops.objects[second].box[2:])
        right = correct_points(place, truth, box, alpha)
        found_by_photo[crops.objects[first].image].append(right.double())
    records = [
        {
            "image": crops.photos.relative_name(photo),
            "pck": torch.stack([right.mean() for right in found]).mean().item(),
            "pairs": len(found),
            "points": sum(map(len, found)),
        }
        for photo, found in sorted(found_by_photo.items())
    ]
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
            "pairs": len(chosen),
            "draw_seed": draw_seed,
            "objects": len(crops),
            "data": crops.identity(),
        },
        **frozen.facts(),
    )


def choose_pairs(crops: ObjectCrops, count: int, seed: int) -> list[tuple[int, int]]:
    """Draw ordered pairs of objects of one class in different photos that show a common point.

    Photos take turns in a random order, each with one more of the pairs that begin in it, until
    there are enough pairs or all are drawn. No pair comes twice.

    Raises:
        DenseCLError: there is no such pair.
    """
    rng = np.random.default_rng(seed)
    category = np.array([each.category for each in crops.objects])
    image = np.array([each.image for each in crops.objects])
    visible = pad_sequence([each.visible for each in crops.objects], batch_first=True).numpy()
    turns = deque(rng.permutation(np.unique(image)))
    taken: dict[int, list[int]] = defaultdict(list)
    drawn: list[tuple[int, int]] = []
    while turns and len(drawn) < count:
        photo = turns.popleft()
        members = np.flatnonzero(image == photo)
        common = (visible[members, None] & visible).any(axis=2)
        fits = common & (category[members, None] == category) & (image != photo)
        fits.flat[np.array(taken[photo], dtype=int)] = False
        if fits.any():
            pick = int(rng.choice(np.flatnonzero(fits)))
            taken[photo].append(pick)
            drawn.append((int(members[pick // len(crops)]), pick % len(crops)))
            turns.append(photo)
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
