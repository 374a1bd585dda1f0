"""What was found in one image against its objects, beside what needs no image."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dense_cl.evaluation.find_objects import Found, LocalizationSettings
from dense_cl.evaluation.localization_metrics import (
    HIT_IOU,
    best_ious,
    enlarge,
    map_iou,
    pointing_hit,
)
from dense_cl.evaluation.location_priors import centre_map, centred_box, random_boxes
from dense_cl.evaluation.objects import ImageObjects
from dense_cl.evaluation.saliency_metrics import (
    f_curve,
    mean_absolute_error,
    rescaled,
    structure_measure,
)

Scores = dict[str, dict[str, Any]]  # of one image: score -> who found -> value


def score_image(
    objects: ImageObjects, found: Found, number: int, settings: LocalizationSettings
) -> tuple[Scores, dict[str, list[float]]]:
    """Return the scores of one image, and the boxes in its pixels.

    The value of ``max_f`` is the curve that its maximum is taken of.
    """
    size = objects.size
    generator = np.random.default_rng((settings.seed, number))
    boxes = {
        "lost": found.lost.box(size),
        "token_cut": found.token_cut.box(size),
        "centred_box": centred_box(size),
        "whole_image": np.array([0.0, 0.0, size[1], size[0]]),
    }
    ious = {name: best_ious(box[None], objects.boxes) for name, box in boxes.items()}
    ious["random_boxes"] = best_ious(random_boxes(size, generator), objects.boxes)
    grid = (found.grad_cam.shape[0], found.grad_cam.shape[1])
    maps: dict[str, NDArray[Any]] = {
        "grad_cam": found.grad_cam,
        "centre": centre_map(grid),
        "random": generator.random(grid),
    }
    truth = objects.region
    area = size[0] * size[1]
    scores: Scores = {
        "corloc": {name: float((iou >= HIT_IOU).mean()) for name, iou in ious.items()},
        "box_iou": {name: float(iou.mean()) for name, iou in ious.items()},
        "box_share": {
            name: float((boxes[name][2:] - boxes[name][:2]).prod() / area)
            for name in ("lost", "token_cut")
        },
        "pointing": {name: pointing_hit(map_, truth) for name, map_ in maps.items()},
        "iou": {name: map_iou(map_, truth, settings.threshold) for name, map_ in maps.items()},
    }
    # What a random point hits on average is the share of the image that is object.
    scores["pointing"]["random"] = float(truth.mean())
    if objects.outlined:
        regions = {"lost": found.lost.mask, "token_cut": found.token_cut.mask} | maps
        scores |= _saliency(regions, truth)
    shown = {name: [round(float(v), 2) for v in boxes[name]] for name in ("lost", "token_cut")}
    return scores, shown


def _saliency(maps: Mapping[str, NDArray[Any]], truth: NDArray[np.bool_]) -> Scores:
    scores: Scores = {"max_f": {}, "mae": {}, "s_measure": {}}
    for name, map_ in maps.items():
        prediction = rescaled(enlarge(map_, truth.shape))
        scores["max_f"][name] = f_curve(prediction, truth)
        scores["mae"][name] = mean_absolute_error(prediction, truth)
        scores["s_measure"][name] = structure_measure(prediction, truth)
    return scores
