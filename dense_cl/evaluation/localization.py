"""Where a frozen backbone sees objects, against where they are: CorLoc, pointing, IoU, saliency."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.bootstrap import LEVEL, RESAMPLES, bootstrap_interval
from dense_cl.evaluation.examples import PHOTO, Examples
from dense_cl.evaluation.find_objects import (
    DEFAULTS,
    Found,
    LocalizationSettings,
    find_objects,
)
from dense_cl.evaluation.frozen import open_backbone
from dense_cl.evaluation.localization_metrics import (
    HIT_IOU,
)
from dense_cl.evaluation.localization_scores import score_image
from dense_cl.evaluation.objects import AnnotatedImages, ImageObjects
from dense_cl.evaluation.results import make_result
from dense_cl.report.draw_views import draw_attention
from dense_cl.sources.base import UnreadableImageError
from dense_cl.sources.selection import evenly_spread

Observe = Callable[[Mapping[str, Any], ImageObjects, Found], None]


def evaluate_localization(
    backbone: str | Path | torch.nn.Module,
    images: AnnotatedImages,
    settings: LocalizationSettings = DEFAULTS,
    progress: Callable[[int, int], None] = lambda done, total: None,
    observe: Observe = lambda record, objects, found: None,
    limit: int | None = None,
    pictures: str | Path | None = None,
) -> dict[str, Any]:
    """Compare what ``find_objects`` finds with annotated objects, beside baselines.

    - ``box_iou``: mean of a box's largest IoU with an object.
    - ``corloc``: share of images in which that is at least 0.5 (valeoai/LOST ``main_lost.py``).
    - ``box_share``: mean share of the image that a box covers: a method that takes the whole image
      for the object has found nothing.
    - ``pointing``: share of images in which the largest value lies on an object.
    - ``iou``: mean IoU of what an attention map marks with the union of the objects.
    - ``max_f``, ``mae``, ``s_measure``: the found region as a saliency map, against the union of
      the objects' masks; only of images all of whose objects have masks.

    Args:
        backbone: exported file, ``random``, ``random:ARCH``, or a module that returns stage maps.
        images: with their objects.
        settings: how objects are looked for.
        progress: called with (images done, images in all) after each.
        observe: called with the record, the objects and what was found of each image.
        limit: look at so many images only, evenly spread over the set.
        pictures: folder for some maps of Grad-CAM on their photos; records name them relative to
            its parent.

    Returns:
        Plain values ready for JSON: ``scores`` (score -> who -> value in [0, 1]),
        ``intervals`` likewise, ``records`` by image, ``images``, ``left_out``, ``settings`` and
        ``versions``.

    Raises:
        DenseCLError: wrong input, or no image with objects.
    """
    name, frozen = open_backbone(backbone, settings.seed)
    values: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    records: list[dict[str, Any]] = []
    unreadable: list[dict[str, str]] = []
    without = outside = 0
    if limit is not None and limit < 1:
        raise DenseCLError(f"--limit is {limit}; it is 1 or more.")
    chosen = evenly_spread(len(images), limit or len(images))
    examples = Examples.of(pictures, [images.name(number) for number in chosen])
    for number in chosen:  # what is wrong stops the run at once, not after hours
        with contextlib.suppress(UnreadableImageError):
            images.load(number)
    for done, number in enumerate(chosen):
        progress(done, len(chosen))
        try:
            objects = images.load(number)
        except UnreadableImageError as error:
            unreadable.append({"image": images.name(number), "reason": error.reason})
            continue
        outside += objects.outside
        if not len(objects.boxes):
            without += 1
            continue
        found = find_objects(frozen, objects.image, number, settings)
        scores, boxes = score_image(objects, found, number, settings)
        for score, by_finder in scores.items():
            for finder, value in by_finder.items():
                values[score][finder].append(value)
        plain = {score: by for score, by in scores.items() if score != "max_f"}
        records.append(
            {"image": images.name(number), "objects": len(objects.boxes), "boxes": boxes} | plain
        )
        observe(records[-1], objects, found)
        if images.name(number) in examples:
            examples.save(images.name(number), PHOTO, objects.image)
            drawn = draw_attention(objects.image, found.grad_cam, settings.threshold)
            examples.save(images.name(number), "Grad-CAM", drawn)
    examples.add_to(records, [PHOTO, "Grad-CAM"])
    progress(len(chosen), len(chosen))
    if not records:
        raise DenseCLError(
            f"none of {len(chosen)} images has an object to find: {without} have none,"
            f" {len(unreadable)} cannot be read"
        )
    means: dict[str, dict[str, float]] = defaultdict(dict)
    intervals: dict[str, dict[str, list[float]]] = defaultdict(dict)
    for score, by_finder in values.items():
        for finder, of_images in by_finder.items():
            mean, interval = _summary(score, np.array(of_images), settings.seed)
            means[score][finder], intervals[score][finder] = mean, list(interval)
    return make_result(
        "localization",
        name,
        settings.seed,
        dict(means),
        records,
        asdict(settings)
        | {"data": images.identity(), "looked_at": len(chosen)}
        | {"hit_iou": HIT_IOU, "interval": LEVEL, "resamples": RESAMPLES},
        intervals=dict(intervals),
        images=len(records),
        images_with_masks=len(values["mae"]["lost"]) if "mae" in values else 0,
        left_out={
            "images_without_objects": without,
            "objects_outside": outside,
            "unreadable": unreadable,
        },
        **frozen.facts(),
    )


def _summary(
    score: str, values: NDArray[np.float64], seed: int
) -> tuple[float, tuple[float, float]]:
    def statistic(means: NDArray[np.float64]) -> NDArray[np.float64]:
        return means.max(axis=-1) if score == "max_f" else means

    score_of_all = float(statistic(values.mean(axis=0)))
    return score_of_all, bootstrap_interval(values, statistic, seed)
