"""What fine-tuning hands to ``dense-cl compare``: scores, and what each image has to do with them.

Fine-tuning ends in an evaluation, so this part of ``transfer`` writes what the tasks of
``dense_cl.evaluation`` write.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dist import get_world_size, master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from dense_cl.evaluation.average_precision import KINDS, SCORES, Matches
from dense_cl.evaluation.examples import PHOTO, Examples
from dense_cl.evaluation.results import make_result, write_result
from dense_cl.sources.base import UnreadableImageError
from dense_cl.sources.files import load_image
from dense_cl.transfer.detection_config import is_panoptic, needs_masks
from dense_cl.transfer.detection_pictures import draw_found
from dense_cl.transfer.labels import Labels

_ANNOTATION_FOLDERS = ("annotations", "labels")  # names that say nothing
# Options that change no weight: what a backbone is made of, because backbones are what is compared,
# and what is written where.
_NO_SETTINGS = ("model.backbone.", "val_evaluator.", "default_hooks.", "visualizer.", "env_cfg.")


class WriteResult(Hook):
    """Write the latest validation result for ``dense-cl compare``, atomically.

    Args:
        path: the file; pictures of some images go into ``pictures/`` beside it.
        task: what is measured; results of one task can be compared.
        facts: ``backbone``, ``seed`` and, if it is known, ``command``.
        settings: what results must have in common to be compared.
    """

    def __init__(
        self, path: Path, task: str, facts: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> None:
        self.path, self.task = path, task
        self.facts, self.settings = dict(facts), dict(settings)

    @master_only
    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Replace the file."""
        recording = next(m for m in runner.val_loop.evaluator.metrics if hasattr(m, "records"))
        names = {key: str(image["file_name"]) for key, image in recording.truth.imgs.items()}
        records = [{"image": names[key], **record} for key, record in recording.records().items()]
        # As `dense-cl compare` orders them: equal scores rank by the order of the images.
        records.sort(key=lambda record: record["image"])
        scores = average_precisions(records)
        for key, value in (metrics or {}).items():
            if value >= 0:  # -1 is an area without objects
                scores.setdefault(key.removeprefix("coco/"), value)
        self._draw(runner, recording, records)
        settings = self.settings | {
            "iterations": runner.iter,
            "batch_size": get_world_size() * runner.cfg.train_dataloader.batch_size,
        }
        result = make_result(
            self.task, scores=scores, records=records, settings=settings, **self.facts
        )
        write_result(result, self.path)

    def _draw(self, runner: Runner, recording: Any, records: list[dict[str, Any]]) -> None:
        """Draw what was found in some images, and name the pictures in their records."""
        if not recording.detections:
            return
        kind, entries = list(recording.detections.items())[-1]  # masks, if there are any
        keys = {str(image["file_name"]): key for key, image in recording.truth.imgs.items()}
        folder = Path(runner.val_dataloader.dataset.data_prefix["img"])
        classes = {key: category["name"] for key, category in recording.truth.cats.items()}
        name = "detections" if kind == "bbox" else "masks"
        examples = Examples.of(self.path.parent / "pictures", [r["image"] for r in records])
        for image in examples.places:
            found = [e for e in entries if e["image_id"] == keys[image]]
            try:
                photo = load_image(folder / image)
            except UnreadableImageError:  # damaged; MMDetection makes something of it
                continue
            examples.save(image, PHOTO, photo)
            examples.save(image, name, draw_found(photo, found, classes))
        examples.add_to(records, [PHOTO, name])


def average_precisions(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return AP, AP50 and AP75 of masks and boxes, as far as the records have them, unrounded.

    Masks come first: the first score of a result is the one that is compared.
    """
    scores: dict[str, float] = {}
    for kind in reversed(KINDS):
        if records and kind in records[0]:
            rows = [{f"{kind}.{key}": r[kind][key] for key in ("truths", "found")} for r in records]
            matches, all_once = Matches.of_records(rows, kind), np.ones((1, len(rows)))
            # As what is not found, what is not there to be found counts as 0.
            scores |= {
                f"{kind}_{name}": float(np.nan_to_num(matches.score(name, all_once)[0]))
                for name in SCORES
            }
    return scores


def result_hook(
    cfg: Config,
    splits: Mapping[str, Labels],
    facts: Mapping[str, Any],
    options: Mapping[str, Any],
    command: str | None,
) -> WriteResult | None:
    """Return what writes ``result.json``; None if the config evaluates in another way.

    Args:
        cfg: the config as it is run.
        splits: labels of 'train' and 'val'.
        facts: what ``metrics.json`` says about the run.
        options: changes to the recipe.
        command: how fine-tuning was called, if it was by a command.
    """
    if not cfg.val_evaluator.type.startswith("dense_cl.Recording"):
        return None
    percent = facts["fraction"]
    kind = "instance segmentation" if needs_masks(cfg) else "detection"
    kind = "panoptic segmentation" if is_panoptic(cfg) else kind
    frozen = ", frozen backbone" if facts["freeze_backbone"] else ""
    share = "" if percent is None else f", {percent:g} % of labels"
    settings = {
        "config": facts["config"],
        "fraction": percent,
        "freeze_backbone": facts["freeze_backbone"],
        **{
            split: {
                "labels": data_name(labels.file),
                "images": len(labels.images),
                "data": facts["data"][split],
            }
            for split, labels in splits.items()
        },
        "classes": list(splits["train"].classes),
        "mixed_precision": cfg.optim_wrapper.type != "OptimWrapper",
        "options": {k: v for k, v in options.items() if not k.startswith(_NO_SETTINGS)},
    }
    about = {key: facts[key] for key in ("backbone", "backbone_sha256", "seed", "pretrained")}
    about |= {} if command is None else {"command": command}
    task = f"{kind} on {data_name(splits['val'].file)}{share}{frozen}"
    return WriteResult(Path(cfg.work_dir) / "result.json", task, about, settings)


def data_name(file: Path) -> str:
    """Return a short name of a label file that tells it from those of other data sets."""
    parents = [p.name for p in file.absolute().parents if p.name not in _ANNOTATION_FOLDERS]
    return f"{parents[0]}/{file.stem}"
