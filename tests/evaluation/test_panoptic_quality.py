"""Panoptic quality by hand, and against MMDetection's copy of panopticapi."""

import numpy as np
import pytest
from PIL import Image

from dense_cl.evaluation.panoptic_quality import count_segments, panoptic_quality
from dense_cl.evaluation.statistics import Runs


def test_by_hand():
    #  A thing found with IoU 4/6, one missed, stuff found exactly, a thing found in vain.
    truth = np.array([[1, 1, 1, 1, 1, 2, 2, 0], [3, 3, 3, 3, 3, 3, 3, 3]])
    found = np.array([[5, 5, 5, 5, 0, 0, 5, 9], [7, 7, 7, 7, 7, 7, 7, 7]])
    counts = count_segments(
        truth, {1: (0, False), 2: (0, False), 3: (2, False)}, found, {5: 0, 7: 2, 9: 1}
    )
    # Segment 9 lies on void pixels only and is excused.
    assert counts == {0: [pytest.approx(4 / 6), 1, 0, 1], 2: [1.0, 1, 0, 0]}
    totals = np.zeros((4, 4))
    for number, values in counts.items():
        totals[number] = values
    scores = panoptic_quality(totals)
    assert scores["PQ"] == pytest.approx((4 / 6 / 1.5 + 1) / 2)
    assert scores["SQ"] == pytest.approx((4 / 6 + 1) / 2)
    assert scores["RQ"] == pytest.approx((1 / 1.5 + 1) / 2)
    assert np.isnan(list(panoptic_quality(np.zeros((3, 4))).values())).all()  # nothing was there


class Stat(dict):
    """What MMDetection takes from panopticapi: counters by category."""

    def __missing__(self, key):
        self[key] = type("Counter", (), {"iou": 0.0, "tp": 0, "fp": 0, "fn": 0})()
        return self[key]


def blobs(rng, ids):
    """Rectangles of ids over each other."""
    canvas = np.full((24, 32), rng.choice(ids))
    for number in ids:
        y, x = rng.integers(0, 18), rng.integers(0, 24)
        canvas[y : y + rng.integers(3, 16), x : x + rng.integers(3, 20)] = number
    return canvas


def test_counts_are_those_of_panopticapi(tmp_path, monkeypatch):
    from dense_cl.transfer.mmdet_setup import import_mmdet

    import_mmdet()
    from mmdet.evaluation.functional import panoptic_utils

    from dense_cl.transfer.panoptic import segment_ids

    monkeypatch.setattr(panoptic_utils, "PQStat", Stat)
    monkeypatch.setattr(panoptic_utils, "rgb2id", segment_ids)
    rng = np.random.default_rng(0)
    seen = np.zeros(4)
    for _ in range(60):
        # Of several crowds of a class panopticapi excuses with the last one only; COCO has one.
        crowd = int(rng.choice([300, 2, 70000, 4]))
        about = {
            i: (int(rng.integers(3)), i == crowd and bool(rng.random() < 0.8))
            for i in (300, 2, 70000, 4)
        }
        truth = blobs(rng, [0, *about])
        found = truth.copy()
        changed = blobs(rng, [0, 11, 12, 13])
        found[changed > 0] = changed[changed > 0]
        # Found segments are named otherwise, and not all have the class of the truth.
        names = {i: int(rng.integers(3)) if rng.random() < 0.3 else about.get(i, (1,))[0]
                 for i in np.unique(found).tolist() if i}  # fmt: skip
        for name, ids in (("truth", truth), ("found", found)):
            (tmp_path / name).mkdir(exist_ok=True)
            colours = np.stack([ids % 256, ids // 256 % 256, ids // 256**2], -1)
            Image.fromarray(colours.astype(np.uint8)).save(tmp_path / name / "a.png")
        areas = {i: int((truth == i).sum()) for i in about}
        segments = [
            {"id": i, "category_id": c, "iscrowd": int(crowd), "area": areas[i]}
            for i, (c, crowd) in about.items()
            if areas[i]
        ]
        theirs = panoptic_utils.pq_compute_single_core(
            0,
            [({"image_id": 1, "file_name": "a.png", "segments_info": segments},
              {"image_id": 1, "file_name": "a.png",
               "segments_info": [{"id": i, "category_id": c} for i, c in names.items()]})],
            str(tmp_path / "truth"), str(tmp_path / "found"), {0: {}, 1: {}, 2: {}},
        )  # fmt: skip
        about = {i: value for i, value in about.items() if areas[i]}
        ours = count_segments(truth, about, found, names)
        for number in range(3):
            stat = theirs[number]
            expected = [stat.iou, stat.tp, stat.fp, stat.fn]
            assert ours.get(number, [0, 0, 0, 0]) == pytest.approx(expected, abs=1e-12)
            seen += expected
    assert (seen > 10).all()  # all of it happened


def test_samples_of_images_are_scored_from_sums():
    rng = np.random.default_rng(0)
    segments = [[[c, float(rng.random()), 1, 2, 1] for c in range(3) if rng.random() < 0.7]
                for _ in range(6)]  # fmt: skip
    runs = Runs.of_segments((0,), [segments], "PQ")
    drawn = np.array([[2.0, 0, 1, 0, 3, 0]])
    totals = np.zeros((3, 4))
    for weight, image in zip(drawn[0], segments, strict=True):
        for number, *values in image:
            totals[number] += weight * np.array(values)
    assert runs.weighted(drawn) == pytest.approx(panoptic_quality(totals)["PQ"])
    assert runs.images == 6
