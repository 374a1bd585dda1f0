"""Semantic segmentation by fine-tuning: what a backbone is worth once everything is trained."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import all_gather_object, get_world_size

from dense_cl.engine.lock import alone_in
from dense_cl.errors import DenseCLError
from dense_cl.evaluation.data_identity import check_disjoint, identity
from dense_cl.evaluation.examples import PHOTO, Examples
from dense_cl.evaluation.mask_folders import MaskFolders, check_sets
from dense_cl.evaluation.pixel_counts import PixelCounts, iou_by_class, plain_scores
from dense_cl.evaluation.results import make_result
from dense_cl.evaluation.segmenter import config as segmenter
from dense_cl.evaluation.segmenter.setup import import_mmseg
from dense_cl.paths import check_folder
from dense_cl.transfer.mmdet_setup import scope_kept
from dense_cl.transfer.recipe import Start, open_recipe
from dense_cl.transfer.weights_file import replacing

TASK = "segmentation-fine-tuning"


def evaluate_segmentation_fine_tuning(
    config: str | Path | Config,
    backbone: str | Path,
    train: MaskFolders | None = None,
    test: MaskFolders | None = None,
    classes: Sequence[str] = (),
    fraction: float | None = None,
    seed: int = 0,
    work_dir: str | Path | None = None,
    iterations: int | None = None,
    resume: bool = False,
    amp: bool | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    pictures: str | Path | None = None,
) -> dict[str, Any]:
    """Train a segmenter of MMSegmentation from a backbone, and score the test images once.

    Args:
        config: recipe: a path, the name of a packaged one, or a ``Config``.
        backbone: a file (``dense_cl.transfer.weights_file`` says which), ``'random'`` or
            ``'torchvision'`` (its ImageNet weights from the local cache).
        train: photos and masks to train on; by default the recipe's data set.
        test: photos and masks to score; they come together with ``train``.
        classes: names of the classes of the masks.
        fraction: percentage of the training images to use.
        seed: of initialisation, order, augmentation and fraction.
        work_dir: where everything is written; ``work_dirs/<recipe>`` by default.
        iterations: length instead of the recipe's; its schedule is scaled along.
        resume: go on from the latest checkpoint of ``work_dir``.
        amp: mixed precision; None for "on CPUs that have bfloat16, else as the recipe says".
        cfg_options: changes to the recipe, {"dotted.key": value}.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
        pictures: folder for some predictions; records name them relative to its parent.

    Returns:
        A result like that of ``evaluate_segmentation``, with confusion matrices in its records. Of
        several processes only the first has them.

    Raises:
        DenseCLError: anything wrong in the input, before training starts.
    """
    if (train is None) != (test is None):
        raise DenseCLError("photos and masks to train on and to test on belong together.")
    import_mmseg()

    cfg, start = open_recipe(
        config, backbone, "mmseg", seed, work_dir, resume, amp, cfg_options, launcher
    )
    segmenter.score_once(cfg)
    given = {"train": train, "test": test}
    check_disjoint({split: folders.files() for split, folders in given.items() if folders})
    for split, folders in given.items():
        if folders is not None:
            segmenter.set_folders(cfg, split, folders, classes)
    if train is not None and test is not None:
        check_sets({"training": train, "test": test}, print)
    if iterations is not None:
        segmenter.set_iterations(cfg, iterations)
    names = segmenter.classes_of(cfg)
    data = {  # of all of them, for any seed
        split: folders.identity() if folders else _names_identity(segmenter.images_of(cfg, split))
        for split, folders in given.items()
    }
    if fraction is not None:
        segmenter.take_fraction(cfg, fraction, seed)
    images = {split: segmenter.images_of(cfg, split) for split in ("train", "test")}
    cfg.training_data = identity([data["train"], *_below_root(images["train"])])
    check_folder(cfg.work_dir)
    examples = Examples.of(pictures, images["test"])
    started = time.monotonic()
    with scope_kept(), alone_in(cfg.work_dir, launcher):
        counts, pretrained = _run(cfg, start, examples)
    examples.written.update(*all_gather_object(examples.written))
    seconds = round(time.monotonic() - started, 1)
    if counts:
        with replacing(Path(cfg.work_dir) / "train_images.txt") as file:
            file.write_text("\n".join(images["train"]) + "\n")

    records = counts.records() if counts else []
    examples.add_to(records, [PHOTO, "segmentation"])
    below = dict(zip(images["test"], _below_root(images["test"]), strict=True))
    for record in records:
        record["image"] = below[record["image"]]
    scores = plain_scores(counts.scores()) if counts else {}
    return make_result(
        TASK,
        start.name,
        seed,
        scores,
        records,
        {
            "recipe": Path(cfg.filename or "").stem,
            "iterations": cfg.train_cfg.get("max_iters"),
            "options": {key: str(value) for key, value in (cfg_options or {}).items()},
            "fraction": fraction,
            "classes": len(names),
            "batch_size": get_world_size() * cfg.train_dataloader.batch_size,
            "mixed_precision": cfg.optim_wrapper.type != "OptimWrapper",
            "images": {split: len(files) for split, files in images.items()},
            "data": data,
            "ignore": sorted(test.ignore) if test else None,
        },
        **scores,
        iou=iou_by_class(counts.scores(), names) if counts else {},
        **start.facts(),
        pretrained=pretrained,
        seconds=seconds,
    )


def _below_root(files: Sequence[str]) -> list[str]:
    """Return paths from the folder of all files, so that results of two machines meet."""
    root = os.path.commonpath([os.path.dirname(file) for file in files])
    return [os.path.relpath(file, root) for file in files]


def _names_identity(files: Sequence[str]) -> str:
    """Tell the sets of a recipe, whose masks are published, apart by their names."""
    return identity(_below_root(files))


def _run(cfg: Config, start: Start, examples: Examples) -> tuple[PixelCounts | None, list[str]]:
    """Train and test; return the counts (on the main process), and what was pretrained."""
    from dense_cl.transfer.finetune_runner import FinetuneRunner, finishing

    runner = FinetuneRunner.from_cfg(cfg)
    pretrained = runner.start_from(start.file, backbone_only=True)
    with finishing(runner):
        runner.train()
        (metric,) = runner.test_loop.evaluator.metrics
        metric.examples = examples
        runner.test()
    return metric.counts, pretrained
