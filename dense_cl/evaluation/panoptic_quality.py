"""Panoptic quality (Kirillov et al., arXiv 1801.00868, section 4), from what is counted by image.

What each image adds to a class are four numbers: the summed IoU of matched segments, and how many
are matched (TP), found in vain (FP) and missed (FN). They are summed over images, so any sample of
images can be scored from their sums.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
VOID = 0  # id of pixels that belong to no segment
SCORES = ("PQ", "SQ", "RQ")
COUNTS = 4  # IoU, TP, FP, FN


def count_segments(
    truth_HW: NDArray[np.integer],
    truth: Mapping[int, tuple[int, bool]],
    found_HW: NDArray[np.integer],
    found: Mapping[int, int],
) -> dict[int, list[float]]:
    """Match the segments of an image and count.

    Two segments of one class match if their IoU is above 0.5, void pixels of the truth left out. A
    segment that is found in vain is excused if more than half of it is void or a crowd of its class
    (the rules of ``pq_compute_single_core`` in cocodataset/panopticapi, which looks at the last one
    only where an image has several crowds of a class; COCO has none such).

    Args:
        truth_HW: id of the labelled segment at each pixel; ids that are not in ``truth`` are void.
        truth: (class, whether it is a crowd) by id.
        found_HW: id of the found segment at each pixel.
        found: class by id; pixels of other ids are in none.

    Returns:
        [summed IoU, TP, FP, FN] by class, of the classes that occur.
    """
    pairs, counts = np.unique(
        np.stack([truth_HW.ravel(), found_HW.ravel()]), axis=1, return_counts=True
    )
    common: dict[tuple[int, int], int] = {}
    for (mine, theirs), count in zip(pairs.T.tolist(), counts.tolist(), strict=True):
        key = (mine if mine in truth else VOID, theirs)
        common[key] = common.get(key, 0) + count
    area_of: list[dict[int, int]] = [{}, {}]
    for pair, count in common.items():
        for side, segment in zip(area_of, pair, strict=True):
            side[segment] = side.get(segment, 0) + count
    totals: dict[int, list[float]] = {}
    matched: tuple[set[int], set[int]] = (set(), set())
    for (mine, theirs), count in common.items():
        if mine == VOID or theirs not in found or truth[mine] != (found[theirs], False):
            continue
        void = common.get((VOID, theirs), 0)
        iou = count / (area_of[0][mine] + area_of[1][theirs] - count - void)
        if iou > 0.5:
            total = totals.setdefault(found[theirs], [0.0, 0, 0, 0])
            total[0] += iou
            total[1] += 1
            matched[0].add(mine)
            matched[1].add(theirs)
    for theirs, number in found.items():
        if theirs in matched[1] or theirs not in area_of[1]:
            continue
        crowds = [mine for mine, about in truth.items() if about == (number, True)]
        excused = sum(common.get((mine, theirs), 0) for mine in (VOID, *crowds))
        if excused / area_of[1][theirs] <= 0.5:
            totals.setdefault(number, [0.0, 0, 0, 0])[2] += 1
    for mine, (number, crowd) in truth.items():
        if mine not in matched[0] and not crowd:
            totals.setdefault(number, [0.0, 0, 0, 0])[3] += 1
    return totals


def panoptic_quality(totals_K4: Array) -> dict[str, Array]:
    """Return PQ, SQ and RQ in [0, 1], averaged over the classes that occur; NaN if none does.

    Args:
        totals_K4: (..., K, 4) sums over images of IoU, TP, FP, FN.
    """
    iou, right, wrong, missed = np.moveaxis(np.asarray(totals_K4, np.float64), -1, 0)
    weight = right + wrong / 2 + missed / 2
    by_class = {
        "PQ": np.divide(iou, weight, out=np.zeros_like(iou), where=weight > 0),
        "SQ": np.divide(iou, right, out=np.zeros_like(iou), where=right > 0),
        "RQ": np.divide(right, weight, out=np.zeros_like(iou), where=weight > 0),
    }
    classes = (weight > 0).sum(axis=-1)
    with np.errstate(invalid="ignore"):
        return {name: values.sum(axis=-1) / classes for name, values in by_class.items()}
