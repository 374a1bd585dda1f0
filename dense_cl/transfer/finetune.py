"""``dense_cl.finetune``: an MMDetection detector from a backbone and a COCO-format label file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from dense_cl.engine.lock import alone_in
from dense_cl.engine.state import versions
from dense_cl.paths import check_folder
from dense_cl.transfer import detection_config as detection
from dense_cl.transfer.detection_result import result_hook
from dense_cl.transfer.label_fraction import HELD_OUT, hold_out, take_fraction
from dense_cl.transfer.labels import Labels, check_photos, read_labels, with_categories_of
from dense_cl.transfer.mmdet_setup import import_mmdet, scope_kept
from dense_cl.transfer.panoptic_labels import read_panoptic_labels
from dense_cl.transfer.recipe import Start, open_recipe


def finetune(
    config: str | Path | Config,
    backbone: str | Path,
    train: str | Path | None = None,
    val: str | Path | None = None,
    train_images: str | Path | None = None,
    val_images: str | Path | None = None,
    fraction: float | None = None,
    seed: int = 0,
    work_dir: str | Path | None = None,
    epochs: int | None = None,
    resume: bool = False,
    amp: bool | None = None,
    cfg_options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    backbone_only: bool = False,
    freeze_backbone: bool = False,
    command: str | None = None,
) -> dict[str, Any]:
    """Fine-tune a detector and evaluate it with pycocotools.

    The classes come from the label file, the image normalisation from the backbone file. What is
    trained on and validated on is written to ``<work_dir>/labels``; ``<work_dir>/metrics.json``
    has the latest result, and ``<work_dir>/result.json`` what ``dense-cl compare`` reads.

    Args:
        config: recipe: a path, the name of a packaged one, or a ``Config``; any MMDetection
            config with a ``backbone`` and ``CocoDataset`` does.
        backbone: a file (``dense_cl.transfer.weights_file`` says which), ``'random'`` or
            ``'torchvision'`` (its ImageNet weights from the local cache; nothing is downloaded).
        train: COCO-format JSON; by default the config's.
        val: COCO-format JSON; by default the config's, or 20 % of ``train`` if that is given.
        train_images: folder the file names of ``train`` start from; looked for if not given.
        val_images: the same for ``val``.
        fraction: percentage of the labelled training images to use.
        seed: of initialisation, order, fraction and held-out images.
        work_dir: where everything is written; ``work_dirs/<recipe>`` by default.
        epochs: length instead of the recipe's; its schedule is scaled along.
        resume: go on from the latest checkpoint of ``work_dir``.
        amp: mixed precision; None for "on CPUs that have bfloat16, else as the recipe says".
        cfg_options: changes to the recipe, {"dotted.key": value}.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
        backbone_only: leave out the pretrained neck and box head that some files bring.
        freeze_backbone: train neck and heads only; the backbone's norm layers use the statistics
            they came with.
        command: how this was called, for the result.

    Returns:
        The validation result, such as ``bbox_mAP`` (AP averaged over IoU 0.5 to 0.95, 0 to 1).

    Raises:
        DenseCLError: anything wrong in the input, before training starts.
    """
    import_mmdet()
    cfg, start = open_recipe(
        config, backbone, "mmdet", seed, work_dir, resume, amp, cfg_options, launcher
    )
    cfg.freeze_backbone = freeze_backbone
    splits = _splits(cfg, train, val, train_images, val_images, seed)
    data = {split: labels.identity() for split, labels in splits.items()}  # for all seeds the same
    if fraction is not None:
        splits["train"] = take_fraction(splits["train"], fraction, seed)
    check_folder(cfg.work_dir)
    for labels in splits.values():
        check_photos(labels)
    with scope_kept(), alone_in(cfg.work_dir, launcher):
        for split, labels in splits.items():
            path = labels.write(Path(cfg.work_dir) / "labels" / f"{split}.json")
            detection.set_labels(cfg, split, labels, path)
        if epochs is not None:
            detection.set_epochs(cfg, epochs, len(splits["train"].images))
        cfg.training_data = f"{data['train']}, {'all' if fraction is None else f'{fraction:g} %'}"
        facts = {"data": data, **_facts(cfg, start, splits, fraction, seed)}
        return _run(cfg, start, backbone_only, facts, splits, cfg_options or {}, command)


def _run(
    cfg: Config,
    start: Start,
    backbone_only: bool,
    facts: dict[str, Any],
    splits: Mapping[str, Labels],
    options: Mapping[str, Any],
    command: str | None,
) -> dict[str, Any]:
    from dense_cl.transfer.finetune_runner import FinetuneRunner, finishing
    from dense_cl.transfer.hooks import WriteMetrics

    runner = FinetuneRunner.from_cfg(cfg)
    facts["pretrained"] = runner.start_from(start.file, backbone_only)
    for split in ("train", "val"):
        runner.logger.info(f"{split}: {facts[split]}")
    writer = WriteMetrics(str(Path(cfg.work_dir) / "metrics.json"), facts)
    result = result_hook(cfg, splits, facts, options, command)
    for hook in filter(None, (writer, result)):
        runner.register_hook(hook, priority="LOWEST")
    with finishing(runner):
        runner.train()
        if not writer.metrics:  # resumed after the last step: killed before this was done
            runner.val_loop.run()
    return writer.metrics


def _splits(
    cfg: Config,
    train: str | Path | None,
    val: str | Path | None,
    train_images: str | Path | None,
    val_images: str | Path | None,
    seed: int,
) -> dict[str, Labels]:
    """Read the labels of both splits; hold a part out if there is only one."""
    masks = detection.needs_masks(cfg)

    def read(file: str | Path, images: str | Path | None) -> Labels:
        if detection.is_panoptic(cfg):
            return read_panoptic_labels(file, images)
        return read_labels(file, images, masks)

    if train is None:
        train, default_images = detection.label_paths(cfg, "train")
        train_images = train_images or default_images
        if val is None:
            val, default_images = detection.label_paths(cfg, "val")
            val_images = val_images or default_images
    trained = read(train, train_images)
    if val is None:
        trained, held_out = hold_out(trained, seed)
        print(
            f"no --val: {HELD_OUT:.0%} of the images of '{train}' ({len(held_out.images)}, chosen"
            f" by seed {seed}) are held out for validation"
        )
        return {"train": trained, "val": held_out}
    validated = with_categories_of(read(val, val_images), trained)
    seen = trained.files() & validated.files()
    if seen:
        print(
            f"warning: {len(seen)} of {len(validated.images)} validation images are trained on, for"
            f" example '{min(seen)}': the result says how well they were learnt by heart"
        )
    return {"train": trained, "val": validated}


def _facts(
    cfg: Config, start: Start, splits: Mapping[str, Labels], fraction: float | None, seed: int
) -> dict[str, Any]:
    """Return what a result must be read with."""
    import mmdet

    return {
        "config": Path(cfg.filename or "").stem,
        "backbone": start.name,
        **start.facts(),
        "pretrained": [],
        "freeze_backbone": cfg.freeze_backbone,
        "seed": seed,
        "fraction": fraction,
        **{
            split: {
                "file": str(labels.file),
                "images": len(labels.images),
                "annotations": len(labels.annotations),
                "classes": len(labels.classes),
            }
            for split, labels in splits.items()
        },
        "versions": {**versions(), "mmdet": mmdet.__version__},
    }
