"""AP from records by image, against pycocotools: on all images, and on images drawn repeatedly."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dense_cl.evaluation.average_precision import SCORES, Matches
from dense_cl.evaluation.coco_matches import coco_matches
from dense_cl.evaluation.statistics.difference import summary
from dense_cl.evaluation.statistics.runs import Runs
from dense_cl.transfer.detection_result import average_precisions

CATEGORIES = [{"id": 7, "name": "b"}, {"id": 2, "name": "a"}, {"id": 9, "name": "never there"}]
SIZE = 64


def coco(images, annotations):
    truth = COCO()
    truth.dataset = {
        "images": [{"id": i, "width": SIZE, "height": SIZE} for i in images],
        "annotations": annotations,
        "categories": CATEGORIES,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def as_mask(box):
    x, y, w, h = (round(value) for value in box)
    pixels = np.zeros((SIZE, SIZE), np.uint8)
    pixels[y : y + h, x : x + w] = 1
    return run_lengths.encode(np.asfortranarray(pixels))


def scene(images=12, seed=0):
    """Labels with crowds, and detections near them, far from them, and twice on one object."""
    rng = np.random.default_rng(seed)
    labels, found = [], []
    for image in range(1, images + 1):
        for _ in range(rng.integers(0, 5)):
            box = [*rng.integers(0, 30, 2).tolist(), *rng.integers(8, 30, 2).tolist()]
            category = int(rng.choice([7, 2]))
            crowd = int(rng.random() < 0.15)
            labels.append(
                {"id": len(labels) + 1, "image_id": image, "category_id": category, "bbox": box,
                 "area": box[2] * box[3], "iscrowd": crowd, "segmentation": as_mask(box)}
            )  # fmt: skip
            for _ in range(rng.integers(0, 4)):
                moved = (np.array(box) + rng.integers(-3, 4, 4)).clip(0, 34).tolist()
                moved[2:] = [max(side, 4) for side in moved[2:]]
                found.append(detection(image, category if rng.random() < 0.8 else 7, moved, rng))
        for _ in range(rng.integers(0, 4)):  # anywhere, of any class
            box = [*rng.integers(0, 40, 2).tolist(), 12, 12]
            found.append(detection(image, int(rng.choice([7, 2, 9])), box, rng))
    return labels, found


def detection(image, category, box, rng):
    # Other scores for each: the order of equal ones between images is arbitrary in pycocotools.
    score = float(np.float32(rng.random()))
    return {"image_id": image, "category_id": category, "bbox": box, "score": score,
            "segmentation": as_mask(box)}  # fmt: skip


def by_pycocotools(truth, found, kind):
    with contextlib.redirect_stdout(io.StringIO()):
        unwanted = "segmentation" if kind == "bbox" else "bbox"
        drawn = [{k: v for k, v in d.items() if k != unwanted} for d in found]
        evaluation = COCOeval(truth, truth.loadRes(drawn), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(("mAP", "mAP_50", "mAP_75"), evaluation.stats[:3], strict=True))


def records_of(truth, found, kind):
    return [
        {f"{kind}.{key}": value for key, value in record.items()}
        for record in coco_matches(truth, found, kind).values()
    ]


def copies(entries, drawn, number=True):
    """Return the labels or detections of images drawn with replacement, each as one of its own."""
    new = [
        {**entry, "image_id": place}
        for place, image in enumerate(drawn, start=1)
        for entry in entries
        if entry["image_id"] == image
    ]
    return [{**entry, "id": n} for n, entry in enumerate(new, start=1)] if number else new


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(3))
def test_all_images_give_what_pycocotools_gives(kind, seed):
    labels, found = scene(seed=seed)
    truth = coco(range(1, 13), labels)
    matches = Matches.of_records(records_of(truth, found, kind), kind)
    expected = by_pycocotools(truth, found, kind)
    assert 0.1 < expected["mAP"] < 0.95  # neither all right nor all wrong
    assert matches.ignored_DT.any()  # crowds were met
    for name in SCORES:
        got = matches.score(name, np.ones((1, 12)))
        assert got == pytest.approx([expected[name]], abs=1e-12)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_images_drawn_repeatedly_give_what_pycocotools_gives_for_copies(kind):
    labels, found = scene(images=8, seed=5)
    matches = Matches.of_records(records_of(coco(range(1, 9), labels), found, kind), kind)
    rng = np.random.default_rng(0)
    draws = [sorted(rng.integers(1, 9, 8).tolist()) for _ in range(6)] + [[3] * 8, [1, 2] * 4]
    weights = np.array([[draw.count(image) for image in range(1, 9)] for draw in draws], float)
    results = {name: matches.score(name, weights) for name in SCORES}
    seen = set()
    for place, draw in enumerate(draws):
        truth = coco(range(1, 9), copies(labels, draw))
        expected = by_pycocotools(truth, copies(found, draw, number=False), kind)
        for name in SCORES:
            # pycocotools says -1 of images without any object.
            wanted = expected[name] if expected[name] >= 0 else np.nan
            assert results[name][place] == pytest.approx(wanted, abs=1e-12, nan_ok=True)
        seen.add(expected["mAP"])
    assert len(seen) == len(draws)  # the draws do differ


def test_nothing_found_and_nothing_there():
    labels, _ = scene()
    records = records_of(coco(range(1, 13), labels), [], "bbox")
    assert Matches.of_records(records, "bbox").score("mAP", np.ones((2, 12))).tolist() == [0, 0]
    empty = [{"bbox.truths": [], "bbox.found": []}] * 3
    assert np.isnan(Matches.of_records(empty, "bbox").score("mAP", np.ones((1, 3)))).all()
    assert average_precisions([{"bbox": {"truths": [], "found": []}}]) == {
        "bbox_mAP": 0,
        "bbox_mAP_50": 0,
        "bbox_mAP_75": 0,
    }


def test_a_draw_without_objects_has_no_score():
    records = [{"bbox.truths": [[0, 1]], "bbox.found": [[0, 0.9, 1023, 0]]}]
    records += [{"bbox.truths": [], "bbox.found": []}] * 19
    runs = Runs.of_matches((0,), [Matches.of_records(records, "bbox")], "mAP")
    assert runs.scores_S == pytest.approx([1.0])
    assert not summary(runs).parts  # one photo shows no spread


def test_scores_come_back_from_text_as_they_were():
    labels, found = scene()
    records = records_of(coco(range(1, 13), labels), found, "bbox")
    written = {np.float32(row[1]) for record in records for row in record["bbox.found"]}
    assert written == {np.float32(entry["score"]) for entry in found}
    assert all(len(str(row[1])) <= 13 for record in records for row in record["bbox.found"])
