"""Panoptic-FPN on tiny scenes: things and stuff from the JSON, PQ, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dense_cl.engine.config import load_config
from dense_cl.errors import DenseCLError
from dense_cl.report.compare_results import read_results
from dense_cl.report.compare_runs import runs_of
from dense_cl.transfer import detection_config as detection
from dense_cl.transfer.finetune import finetune
from dense_cl.transfer.mmdet_setup import import_mmdet
from dense_cl.transfer.panoptic_labels import read_panoptic_labels

from .coco_set import edit
from .files import pretrained
from .test_finetune import TINY, saved

SMALL = "panoptic_fpn_resnet18_1xb4_cosine_1200i_small"
# Stuff first, and ids in no order: the classes have to be sorted.
CATEGORIES = [
    {"id": 9, "name": "sky", "isthing": 0},
    {"id": 4, "name": "box", "isthing": 1},
    {"id": 6, "name": "ground", "isthing": 0},
]


def colours(ids):
    return np.stack([ids % 256, ids // 256 % 256, ids // 256**2], -1).astype(np.uint8)


def write_panoptic(folder: Path, count: int = 5) -> Path:
    """Write scenes of sky, ground and two boxes; return the JSON."""
    rng = np.random.default_rng(0)
    file = folder / "panoptic_train.json"
    (folder / "train").mkdir(parents=True)
    file.with_suffix("").mkdir()
    images, annotations = [], []
    for image_id in range(1, count + 1):
        ids = np.zeros((64, 64), np.int64)
        ids[:30], ids[32:] = 1000, 70000  # a line of void between
        picture = rng.integers(0, 60, (64, 64, 3), dtype=np.uint8)
        for number in (7, 300):
            x, y = rng.integers(0, 36, 2)
            ids[y : y + 24, x : x + 24] = number
        picture[ids == 1000, 2] = 200
        picture[(ids == 7) | (ids == 300), 0] = 230
        name = f"{image_id:03}"
        Image.fromarray(picture).save(folder / "train" / f"{name}.jpg")
        Image.fromarray(colours(ids)).save(file.with_suffix("") / f"{name}.png")
        segments = []
        for number, category in ((1000, 9), (70000, 6), (7, 4), (300, 4)):
            ys, xs = np.nonzero(ids == number)
            if len(ys):
                box = [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]
                segments.append({"id": number, "category_id": category, "bbox": box,
                                 "area": len(ys), "iscrowd": 0})  # fmt: skip
        images.append({"id": image_id, "file_name": f"{name}.jpg", "width": 64, "height": 64})
        annotations.append(
            {"image_id": image_id, "file_name": f"{name}.png", "segments_info": segments}
        )
    content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    file.write_text(json.dumps(content))
    return file


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> Path:
    return write_panoptic(tmp_path_factory.mktemp("set") / "scenes" / "annotations")


def test_fine_tuning_ends_in_pq_and_records(labels, tmp_path):
    given = pretrained(dict(type="ResNet", depth=18), tmp_path / "c.pth").state_dict()
    metrics = finetune(
        SMALL, tmp_path / "c.pth", labels, labels, fraction=50, work_dir=tmp_path / "w",
        cfg_options=TINY,
    )  # fmt: skip
    end = saved(tmp_path / "w")
    assert [key for key in given if torch.equal(end[f"backbone.{key}"], given[key])] == []
    assert end["roi_head.bbox_head.fc_cls.weight"].shape[0] == 1 + 1
    assert end["semantic_head.conv_logits.weight"].shape[0] == 2 + 1
    assert set(metrics) == {f"{n}{part}" for n in ("PQ", "SQ", "RQ") for part in ("", "_th", "_st")}
    written = json.loads((tmp_path / "w" / "metrics.json").read_text())
    assert written["train"]["images"] == 3 and written["val"]["classes"] == 3
    (result,) = read_results([str(tmp_path / "w" / "result.json")])
    assert result.task == "panoptic segmentation on scenes/panoptic_train, 50 % of labels"
    assert result.content["settings"]["classes"] == ["box", "sky", "ground"]
    runs = runs_of([result], "PQ")
    assert runs.images == 5 and runs.scores_S[0] == pytest.approx(metrics["PQ"])


def test_the_truth_itself_has_a_pq_of_1_and_a_mistake_is_seen(labels):
    import_mmdet()
    from dense_cl.transfer.panoptic import RecordingPanopticMetric, segment_ids

    read = read_panoptic_labels(labels)
    assert read.things == ("box",) and read.classes == ("box", "sky", "ground")
    ordered = read.write(labels.with_name("ordered.json"))
    classes = {1000: 1, 70000: 2, 7: 1000 + 0, 300: 2000 + 0}  # by id, as the detector numbers

    def score(mistakes):
        metric = RecordingPanopticMetric(str(ordered), str(read.segment_root))
        for image in read.images:
            png = read.segment_root / image["file_name"].replace("jpg", "png")
            ids = segment_ids(np.asarray(Image.open(png)))
            found = np.full(ids.shape, 3)  # no class
            for number, label in classes.items():
                found[ids == number] = mistakes.get(label, label)
            sample = {"sem_seg": torch.from_numpy(found)[None]}
            metric.process(None, [{"img_id": image["id"], "pred_panoptic_seg": sample}])
        return metric.evaluate(len(read.images))

    assert score({}) == {f"coco/{n}{part}": 1 for n in ("PQ", "SQ", "RQ")
                         for part in ("", "_th", "_st")}  # fmt: skip
    lost = score({1: 2})  # sky called ground
    assert lost["coco/PQ_th"] == 1 and lost["coco/PQ_st"] < 0.5


def test_the_recipe_of_paper_scale_builds_and_takes_the_classes(labels, tmp_path):
    import_mmdet()
    from mmdet.registry import MODELS

    cfg = load_config("panoptic_fpn_resnet50_8xb2_step_12e_coco")
    read = read_panoptic_labels(labels)
    for split in ("train", "val"):
        detection.set_labels(cfg, split, read, labels)
        loads = [step.type for step in cfg[f"{split}_dataloader"].dataset.pipeline[:3]]
        assert "dense_cl.LoadPanopticAnnotations" in loads
    with torch.device("meta"):
        detector = MODELS.build(cfg.model)
    assert detector.semantic_head.conv_logits.out_channels == 2 + 1
    assert detector.panoptic_fusion_head.num_classes == 3
    assert detector.roi_head.mask_head.num_classes == 1


def test_what_is_refused(labels, tmp_path):
    def refused(message, change):
        with pytest.raises(DenseCLError, match=message):
            read_panoptic_labels(
                edit(labels, "panoptic_train2.json", change), labels.parent / "train"
            )

    refused("no panoptic labels", lambda c: [a.pop("segments_info") for a in c["annotations"]])
    refused("no panoptic labels", lambda c: c["categories"][0].pop("isthing"))
    refused("things and of stuff", lambda c: [k.update(isthing=1) for k in c["categories"]])
    refused("unknown category_id 6", lambda c: c["categories"].pop())
    refused("has no bbox or no", lambda c: c["annotations"][0]["segments_info"][0].pop("bbox"))
    refused("'001.jpg' has no width", lambda c: c["images"][0].pop("width"))
    refused("category name 'sky' occurs 2", lambda c: c["categories"][1].update(name="sky"))
    refused(r"5 of the 5 PNGs .* first is '001.png'", lambda c: None)
