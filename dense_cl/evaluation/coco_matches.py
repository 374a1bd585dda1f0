"""What pycocotools matches in each image, as plain values that AP can be computed from again."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dense_cl.evaluation.average_precision import BITS, MAX_DETECTIONS

_ALL_SIZES = "all"


def coco_matches(
    truth: COCO, detections: Sequence[Mapping[str, Any]], kind: str
) -> dict[Any, dict[str, list[list[float]]]]:
    """Match detections to objects as COCO does and return a record for each image.

    Classes are numbered in the order of ``truth``'s categories.

    Args:
        truth: labels.
        detections: entries of COCO results: image_id, category_id, score, and bbox or, for masks,
            segmentation as run lengths.
        kind: 'bbox' or 'segm'.

    Returns:
        By image id, ``truths``: [class, objects that are no crowds] of the classes that occur; and
        ``found``: [class, score, hits, ignored] of each detection, by class and falling score. Bit
        t of ``hits`` says whether it found an object at IoU threshold 0.5 + 0.05 t, bit t of
        ``ignored`` whether it was excused there. A score is the shortest decimal that is the same
        in float32.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, _found(truth, detections, kind), kind)
        sizes = evaluation.params.areaRngLbl.index(_ALL_SIZES)
        evaluation.params.areaRng = [evaluation.params.areaRng[sizes]]
        evaluation.params.areaRngLbl = [_ALL_SIZES]
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.evaluate()
    numbers = {category: number for number, category in enumerate(truth.cats)}
    records: dict[Any, dict[str, list[list[float]]]] = {
        image: {"truths": [], "found": []} for image in truth.imgs
    }
    for entry in evaluation.evalImgs:
        if entry is None:
            continue
        record, number = records[entry["image_id"]], numbers[entry["category_id"]]
        objects = int(np.count_nonzero(entry["gtIgnore"] == 0))
        if objects:
            record["truths"].append([number, objects])
        ignored_TD = entry["dtIgnore"].astype(bool)
        hits_TD = (entry["dtMatches"] > 0) & ~ignored_TD
        record["found"] += [
            [number, float(str(np.float32(score))), int(hits), int(ignored)]
            for score, hits, ignored in zip(
                entry["dtScores"], BITS @ hits_TD, BITS @ ignored_TD, strict=True
            )
        ]
    return records


def _found(truth: COCO, detections: Sequence[Mapping[str, Any]], kind: str) -> COCO:
    if detections:
        # With a box beside it, loadRes would leave the mask alone but take the area of the box.
        unwanted = "bbox" if kind == "segm" else "segmentation"
        return truth.loadRes(
            [{key: value for key, value in d.items() if key != unwanted} for d in detections]
        )
    nothing = COCO()
    nothing.dataset = {
        "images": truth.dataset["images"],
        "categories": truth.dataset["categories"],
        "annotations": [],
    }
    nothing.createIndex()
    return nothing
