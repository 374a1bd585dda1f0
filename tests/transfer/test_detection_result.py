"""What an evaluation hands to ``dense-cl compare``: the score, and records it can be made of."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from dense_cl.cli import main
from dense_cl.report.compare_results import read_results
from dense_cl.report.compare_runs import runs_of
from dense_cl.sources.base import UnreadableImageError
from dense_cl.transfer import detection_result
from dense_cl.transfer.detection_result import data_name, result_hook
from dense_cl.transfer.labels import read_labels
from dense_cl.transfer.mmdet_setup import import_mmdet

from .coco_set import edit, write_set

CLASSES = ("red", "green", "blue")
KINDS = ["bbox", "segm"]


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> Path:
    """Labels whose images are named in another order than their ids, one of them without any."""

    def turn(content):
        names = [image["file_name"] for image in content["images"]]
        for image, name in zip(content["images"], reversed(names), strict=True):
            image["file_name"] = name
        content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 2]
        content["annotations"][3]["iscrowd"] = 1
        content["annotations"][3]["segmentation"] = {"size": [48, 64], "counts": [0, 48 * 64]}

    folder = tmp_path_factory.mktemp("set") / "animals" / "annotations"
    return edit(write_set(folder, count=12), "val.json", turn)


def predictions(labels: Path, noise: float, seed: int):
    """Data samples as of a detector: boxes and masks near the labels, some of them wrong."""
    content = json.loads(labels.read_text())
    numbers = {category["id"]: n for n, category in enumerate(content["categories"])}
    rng = np.random.default_rng(seed)
    for image in content["images"]:
        rows = []
        for a in (a for a in content["annotations"] if a["image_id"] == image["id"]):
            x, y, w, h = a["bbox"]
            near = np.array([x, y, x + w, y + h]) + rng.normal(0, noise, 4)
            rows.append((near.clip(0, 47), rng.beta(5, 2), numbers[a["category_id"]]))
            rows.append((near.clip(0, 47), rng.beta(2, 4), int(rng.integers(3))))
        masks = np.zeros((len(rows), 48, 64), bool)
        for mask, (box, *_) in zip(masks, rows, strict=True):
            x1, y1, x2, y2 = box.round().astype(int)
            mask[y1:y2, x1:x2] = True
        found = {
            "bboxes": torch.tensor(np.array([row[0] for row in rows])).reshape(-1, 4),
            "scores": torch.tensor([row[1] for row in rows], dtype=torch.float32),
            "labels": torch.tensor([row[2] for row in rows], dtype=torch.long),
            "masks": torch.from_numpy(masks),
        }
        yield {"pred_instances": found, "img_id": image["id"], "ori_shape": (48, 64)}


def evaluated(labels: Path, work_dir: Path, noise: float, seed: int = 0, kinds=KINDS, frozen=False):
    """Evaluate as a run would, and return the metrics of MMDetection and the result file."""
    import_mmdet()
    from dense_cl.transfer.metrics import RecordingCocoMetric

    metric = RecordingCocoMetric(ann_file=str(labels), metric=kinds)
    metric.dataset_meta = {"classes": CLASSES}
    samples = list(predictions(labels, noise, seed))
    metric.process({}, samples)
    metrics = metric.evaluate(len(samples))
    read = read_labels(labels, labels.parent / "images")
    cfg = Config(
        dict(
            work_dir=str(work_dir),
            model=dict(roi_head=dict(mask_head=dict(a=1))) if "segm" in kinds else dict(),
            val_evaluator=dict(type="dense_cl.RecordingCocoMetric"),
            optim_wrapper=dict(type="OptimWrapper"),
            train_dataloader=dict(batch_size=4),
        )
    )
    facts = {"config": "r", "fraction": 10, "backbone": str(work_dir / "backbone.pth"),
             "backbone_sha256": "0" * 64, "seed": seed, "pretrained": ["backbone"],
             "freeze_backbone": frozen,
             "data": {"train": "of train", "val": "of val"}}  # fmt: skip
    options = {"train_cfg.max_iters": 7, "model.backbone.depth": 18, "val_evaluator.a": work_dir}
    hook = result_hook(cfg, {"train": read, "val": read}, facts, options, "dense-cl finetune r")
    runner = SimpleNamespace(
        val_loop=SimpleNamespace(evaluator=SimpleNamespace(metrics=[metric])),
        val_dataloader=SimpleNamespace(
            dataset=SimpleNamespace(data_prefix={"img": str(read.image_root)})
        ),
        cfg=cfg,
        iter=7,
    )
    work_dir.mkdir(parents=True, exist_ok=True)
    hook.after_val_epoch(runner, metrics)
    return metrics, work_dir / "result.json"


def test_the_result_has_the_scores_and_records_that_make_them(labels, tmp_path):
    metrics, file = evaluated(labels, tmp_path, noise=2)
    content = json.loads(file.read_text())
    assert list(content["scores"])[:6] == [
        f"{kind}_{name}" for kind in ("segm", "bbox") for name in ("mAP", "mAP_50", "mAP_75")
    ]
    for name, value in metrics.items():
        if value >= 0:  # MMDetection rounds to three digits
            key = name.removeprefix("coco/")
            assert content["scores"][key] == pytest.approx(value, abs=5.1e-4)
    assert 0.2 < content["scores"]["bbox_mAP"] < 0.9
    assert [r["image"] for r in content["records"]] == [f"{n:03}.png" for n in range(1, 13)]
    (result,) = read_results([str(file)])
    assert result.task == "instance segmentation on animals/val, 10 % of labels"
    for name in list(content["scores"])[:6]:
        runs = runs_of([result], name)
        assert runs.images == 12 and runs.scores_S[0] == pytest.approx(content["scores"][name])
    assert content["settings"] == {
        "config": "r",
        "fraction": 10,
        "freeze_backbone": False,
        "train": {"labels": "animals/val", "images": 12, "data": "of train"},
        "val": {"labels": "animals/val", "images": 12, "data": "of val"},
        "classes": list(CLASSES),
        "mixed_precision": False,
        "options": {"train_cfg.max_iters": 7},
        "iterations": 7,
        "batch_size": 4,
    }
    assert content["command"] == "dense-cl finetune r"


def test_a_photo_that_cannot_be_drawn_is_left_out(labels, tmp_path, monkeypatch):
    def damaged(path):
        raise UnreadableImageError(str(path), "truncated")

    monkeypatch.setattr(detection_result, "load_image", damaged)
    _, file = evaluated(labels, tmp_path, 3, kinds=["bbox"])
    records = json.loads(file.read_text())["records"]
    assert len(records) == 12 and not any("pictures" in record for record in records)


def test_nothing_found_is_an_ap_of_0(labels, tmp_path, monkeypatch):
    monkeypatch.setattr(
        f"{__name__}.predictions",
        lambda *_: (
            {"pred_instances": {"bboxes": torch.zeros(0, 4), "scores": torch.zeros(0),
                                "labels": torch.zeros(0, dtype=torch.long)},
             "img_id": image, "ori_shape": (48, 64)} for image in range(1, 13)
        ),
    )  # fmt: skip
    metrics, file = evaluated(labels, tmp_path, 0, kinds=["bbox"], frozen=True)
    assert metrics == {}
    content = json.loads(file.read_text())
    assert content["task"] == "detection on animals/val, 10 % of labels, frozen backbone"
    assert content["scores"] == {"bbox_mAP": 0, "bbox_mAP_50": 0, "bbox_mAP_75": 0}
    assert sum(sum(row[1] for row in r["bbox"]["truths"]) for r in content["records"]) == 21


def test_a_better_detector_is_told_from_a_worse_one(labels, tmp_path, capsys):
    for method, noise in (("worse", 6), ("better", 1)):
        for seed in (0, 1, 2):
            evaluated(labels, tmp_path / f"{method}_seed{seed}", noise, seed)
    # What else lies in the folders of runs: logs in JSON lines, labels, metrics.
    (tmp_path / "worse_seed0" / "scalars.json").write_text('{"lr": 1}\n{"lr": 2}\n')
    page, numbers = tmp_path / "page.html", tmp_path / "numbers.json"
    capsys.readouterr()
    options = ["--control", "worse", "--out", str(page), "--json", str(numbers)]
    assert main(["compare", str(tmp_path), *options]) == 0
    assert "better above worse by" in capsys.readouterr().out
    (entry,) = json.loads(numbers.read_text())["tasks"]
    assert entry["score"] == "segm_mAP" and entry["images"] == 12
    # Pictures of four images, a column for each method.
    picture = Image.open(tmp_path / "better_seed0" / "pictures" / "00000-masks.jpg")
    assert picture.size == (320, 240)
    assert len(re.findall(r"data:image/jpeg", page.read_text())) == 1


def test_names_of_data(tmp_path):
    assert data_name(tmp_path / "voc" / "annotations" / "test.json") == "voc/test"
    assert data_name(Path("mine/labels.json")) == "mine/labels"
