"""The page that ``dense-cl quickstart`` ends in."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dense_cl.report import html
from dense_cl.report.draw import Detection, draw_correspondences, draw_detections, encode, tile
from dense_cl.report.plots import Panel, bars, curves, read_scalars

NAMES = {"pretrained": "DenseCL, pretrained here", "random": "random initialisation"}
MEASURES = {
    "bbox_mAP": "box AP",
    "bbox_mAP_50": "box AP50",
    "segm_mAP": "mask AP",
    "segm_mAP_50": "mask AP50",
}
# Standard deviation of box AP (in points) over seeds, for the sentence on chance: pooled over two
# starts with two seeds each, at about this size (12.5 and 14.0; 17.9 and 14.0).
SEED_NOISE = 2.0
MIN_SCORE = 0.5
IMAGES_SHOWN = 4

YOUR_OWN = """\
# 1. Pretrain on a folder of photos (no labels)
dense-cl pretrain densecl_resnet18_1xb32_cosine_40e_voc_animals \\
    --data photos/ --work-dir work_dirs/mine

# 2. Fine-tune on a few labelled ones (COCO JSON with masks), and the same from random weights
dense-cl finetune mask_rcnn_resnet18_fpn_1xb4_cosine_1200i_small \\
    --backbone work_dirs/mine/backbone.pth --train labels.json --work-dir work_dirs/mine_pretrained
dense-cl finetune mask_rcnn_resnet18_fpn_1xb4_cosine_1200i_small \\
    --backbone random --train labels.json --work-dir work_dirs/mine_random

# 3. Compare the two metrics.json
"""


def quickstart_page(
    results: Mapping[str, Any], examples: Sequence[Any], work_dir: Path, val_images: Path
) -> str:
    """Return the page as HTML.

    Args:
        results: content of ``results.json``.
        examples: ``Comparison.examples`` of ``compare_matches``.
        work_dir: of the quickstart; logged scalars and detections are read from its folders.
        val_images: folder of the validation scenes.
    """
    settings = results["settings"]
    return html.page(
        "dense_cl quickstart",
        "From unlabelled scenes to a fine-tuned detector: did pretraining help?",
        [
            html.verdict(verdict(results)),
            _what(settings, results),
            _precision(results),
            _detections(results, work_dir, val_images),
            _curves(results, work_dir),
            _matches(results["matching"], examples),
            _times(results),
            html.section(
                "The same with your own photos",
                html.paragraph(
                    "Pretraining needs a folder of photos; fine-tuning a COCO-format label file. "
                    "A fifth of the labels is held out for validation if you give no --val."
                ),
                html.code(YOUR_OWN),
            ),
        ],
        footer=" · ".join(f"{name} {version}" for name, version in results["versions"].items()),
    )


def verdict(results: Mapping[str, Any]) -> str:
    """Say in a sentence whether pretraining helped, and how far that can be trusted."""
    points = {start: _points(values) for start, values in results["finetuning"].items()}
    box = points["pretrained"]["bbox_mAP"] - points["random"]["bbox_mAP"]
    segm = points["pretrained"]["segm_mAP"] - points["random"]["segm_mAP"]
    values = (
        f"box AP {points['pretrained']['bbox_mAP']:.1f} from the pretrained backbone against "
        f"{points['random']['bbox_mAP']:.1f} from a random one, mask AP "
        f"{points['pretrained']['segm_mAP']:.1f} against {points['random']['segm_mAP']:.1f}"
    )
    seed = results["settings"]["seed"]
    caveat = (
        f"This is one seed ({seed}) of a run of minutes on generated scenes: it shows that the "
        "path works, not how much DenseCL brings at full scale."
    )
    # Two runs differ by chance with sqrt(2) times the deviation of one; twice that is unusual.
    noise = 2 * math.sqrt(2) * SEED_NOISE
    if min(box, segm) > noise:
        return f"Pretraining helped: {values}. {caveat}"
    if max(box, segm) < -noise:
        return f"Pretraining did not help, it hurt: {values}. {caveat}"
    return (
        f"No clear difference: {values}. Differences below about {noise:.0f} points are within "
        f"what another seed gives at this size. {caveat}"
    )


def _points(values: Mapping[str, float]) -> dict[str, float]:
    """AP in points of 100; pycocotools says -1 where a class has no objects at all."""
    return {name: 100 * max(values.get(name, 0.0), 0.0) for name in MEASURES}


def _what(settings: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    size = settings["image_size"]
    return html.section(
        "What was done",
        html.paragraph(
            f"{settings['scenes']} scenes of {size}×{size} pixels with objects of 16 shapes were "
            f"generated (scene seed {results['scene_seed']}). A ResNet-18 was pretrained on them "
            "with DenseCL, without labels. Then Mask "
            f"R-CNN was fine-tuned twice on {settings['labelled']} labelled ones among them, with "
            f"the same labels, schedule and seed ({settings['seed']}): once from the pretrained "
            "backbone, once from random weights. All shapes are labelled as one category, since "
            "minutes are too short to tell sixteen apart. AP is measured on "
            f"{settings['val']} further scenes that no stage has seen."
        ),
    )


def _precision(results: Mapping[str, Any]) -> str:
    points = {start: _points(values) for start, values in results["finetuning"].items()}
    rows = [
        [NAMES[start], *(f"{points[start][name]:.1f}" for name in MEASURES)] for start in points
    ]
    difference = [points["pretrained"][name] - points["random"][name] for name in MEASURES]
    rows.append(["difference", *(f"{value:+.1f}" for value in difference)])
    series = {NAMES[start]: [values[name] for name in MEASURES] for start, values in points.items()}
    seed = results["settings"]["seed"]
    return html.section(
        "Average precision",
        html.table(
            ["start", *MEASURES.values()],
            rows,
            f"COCO average precision in points, on the validation scenes; training seed {seed}. "
            "AP averages over IoU thresholds 0.5 to 0.95; AP50 uses 0.5 alone.",
        ),
        html.figure(
            bars(list(MEASURES.values()), series, "points"),
            "The table as bars.",
            "Bars of average precision: " + "; ".join(" ".join(map(str, row)) for row in rows),
        ),
    )


def _detections(results: Mapping[str, Any], work_dir: Path, folder: Path) -> str:
    labels = json.loads(Path(results["labels"]["val"]).read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in labels["categories"]}
    images = labels["images"][:IMAGES_SHOWN]
    columns = {"labels": labels["annotations"]}
    for start in results["finetuning"]:
        found = json.loads((work_dir / f"finetune_{start}" / "val.segm.json").read_text())
        columns[NAMES[start]] = [entry for entry in found if entry["score"] >= MIN_SCORE]
    rows = []
    for image in images:
        pixels = np.asarray(Image.open(folder / image["file_name"]).convert("RGB"))
        rows.append([_drawn(pixels, entries, image["id"], names) for entries in columns.values()])
    return html.section(
        "Detections",
        html.figure(
            encode(tile(rows, list(columns))),
            f"The first {len(images)} validation scenes: the labels, and what Mask R-CNN found "
            f"from each start with a score of at least {MIN_SCORE}.",
            "Validation scenes with boxes and masks of labels and detections.",
        ),
    )


def _drawn(
    pixels: NDArray[np.uint8],
    entries: Sequence[Mapping[str, Any]],
    image_id: int,
    names: Mapping[int, str],
) -> NDArray[np.uint8]:
    own = [entry for entry in entries if entry["image_id"] == image_id]
    best_first = sorted(own, key=lambda entry: entry.get("score", 0.0), reverse=True)
    found = [Detection.from_coco(e, names, colour) for colour, e in enumerate(best_first)]
    return draw_detections(pixels, found)


def _curves(results: Mapping[str, Any], work_dir: Path) -> str:
    records = read_scalars(work_dir / "pretrain" / "vis_data" / "scalars.json")
    similarity = "positive_similarity"
    terms = {"image level": "info_nce", "dense": "dense_info_nce"}
    panels = [
        Panel.of("loss terms (nats)", records, terms),
        Panel.of(
            "similarity of positive pairs (cosine)",
            records,
            {label: f"{name}_{similarity}" for label, name in terms.items()},
        ),
        Panel.of(
            "feature standard deviation",
            records,
            {"features": "feature_std"},
            {"spread evenly": 1 / math.sqrt(512)},
        ),
        Panel.of("effective rank of the features", records, {"rank": "effective_rank"}),
    ]
    finetuning: dict[str, Any] = {}
    for start in results["finetuning"]:
        logged = _latest_scalars(work_dir / f"finetune_{start}")
        drawn = Panel.of("", logged, {NAMES[start]: "loss"}).curves
        finetuning.update(drawn)
    return html.section(
        "Curves",
        html.figure(
            curves(panels),
            "Pretraining. The terms rise while the queues fill with real images. If they go on "
            "rising together with the similarity of positives, other images grow as similar: "
            "the run is too short to tell them apart. A feature standard deviation that sinks "
            "towards 0, or an effective rank near 1, would mean collapse.",
            "Four diagrams of pretraining: loss terms, similarity, standard deviation, rank.",
        ),
        html.figure(
            curves([Panel("fine-tuning loss", finetuning, {})]),
            "Fine-tuning loss from both starts.",
            "Curves of the fine-tuning loss from both starts.",
        ),
    )


def _latest_scalars(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*/vis_data/scalars.json"))
    return read_scalars(files[-1]) if files else []


def _matches(rates: Mapping[str, float], examples: Sequence[Any]) -> str:
    rows = [
        [
            draw_correspondences(left, right, m.start, m.match, m.truth, m.correct, scale=1)
            for m in (before, after)
        ]
        for left, right, before, after in examples
    ]
    return html.section(
        "Finding the same place in another view",
        html.paragraph(
            "Each cell of the last feature map of one view is matched with the most similar cell "
            "of another view of the same scene. Where it truly lies is known from the geometry of "
            f"the views. Of {rates['places']} places in {rates['images']} validation scenes, "
            f"{100 * rates['before']:.0f} % were found within one cell by the random backbone and "
            f"{100 * rates['after']:.0f} % by the pretrained one; guessing finds "
            f"{100 * rates['chance']:.0f} %."
        ),
        html.figure(
            encode(tile(rows, ["random backbone", "pretrained backbone"], gap=14)),
            "Lines lead from a place in the left view to its match in the right view: green if "
            "right, orange if not. White rings are the true places.",
            "Pairs of views with lines between matched places, before and after pretraining.",
        ),
    )


def _times(results: Mapping[str, Any]) -> str:
    rows = [[name, f"{seconds:.0f} s"] for name, seconds in results["seconds"].items()]
    rows.append(["together", f"{sum(results['seconds'].values()):.0f} s"])
    summary = results["pretraining"]
    machine = f"{summary['device']}, {summary['threads']} threads"
    return html.section("Time", html.table(["stage", "time"], rows, f"On this machine: {machine}."))
