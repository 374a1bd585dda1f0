"""Change an MMSegmentation config to the masks, the fraction and the length of one run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.mask_folders import MaskFolders
from dense_cl.transfer.detection_config import set_everywhere, set_length
from dense_cl.transfer.label_fraction import first_part

_MOST = 255  # the value that means void, so classes are below


def set_folders(cfg: Config, split: str, folders: MaskFolders, classes: Sequence[str]) -> None:
    """Let the loader of ``train`` or ``test`` read ``folders``, through the recipe's own pipeline.

    Raises:
        DenseCLError: more classes than MMSegmentation can tell from void.
    """
    values = [folders.num_classes, *folders.ignore]
    if max(values) > _MOST:
        raise DenseCLError(
            f"{folders.num_classes} classes and void values {sorted(folders.ignore)}: fine-tuning"
            f" is for masks whose values are at most {_MOST}, and {_MOST} always means void."
        )
    loader = cfg[f"{split}_dataloader"]
    loader.dataset = ConfigDict(
        type="MaskFolderDataset",
        images=str(folders.images),
        masks=str(folders.masks),
        num_classes=folders.num_classes,
        ignore=sorted(folders.ignore),
        classes=list(classes),
        test_mode=split == "test",
        pipeline=_parts(loader.dataset)[0].pipeline,
    )
    set_everywhere(cfg.model, "num_classes", folders.num_classes)


def images_of(cfg: Config, split: str) -> list[str]:
    """Return the files a loader reads, in order.

    Raises:
        DenseCLError: there are none, or the data set is not complete.
    """
    return [name for names in _names(cfg, split) for name in names]


def classes_of(cfg: Config) -> tuple[str, ...]:
    """Return the names of the classes of the test set.

    Raises:
        DenseCLError: the heads have another number of them.
    """
    (first, *_) = _parts(cfg.test_dataloader.dataset)
    classes = tuple(_build(first, lazy_init=True).metainfo["classes"])
    for name in ("decode_head", "auxiliary_head"):
        heads = cfg.model.get(name) or []
        for head in heads if isinstance(heads, list) else [heads]:
            if head.num_classes != len(classes):
                raise DenseCLError(
                    f"{name} predicts {head.num_classes} classes and the test images have"
                    f" {len(classes)} ({', '.join(classes[:3])}, ...). Set"
                    f" --cfg-options model.{name}.num_classes={len(classes)}"
                )
    return classes


def take_fraction(cfg: Config, percent: float, seed: int) -> None:
    """Train on the part of the images that ``label_fraction.first_part`` chooses."""
    names = _names(cfg, "train")
    chosen = first_part({name for part in names for name in part}, percent, seed)
    kept = []
    for part, files in zip(_parts(cfg.train_dataloader.dataset), names, strict=True):
        part.indices = [index for index, name in enumerate(files) if name in chosen]
        kept += [part] if part.indices else []
    # MMEngine cannot hold a part of no images.
    cfg.train_dataloader.dataset = (
        kept[0] if len(kept) == 1 else ConfigDict(type="ConcatDataset", datasets=kept)
    )


def set_iterations(cfg: Config, iterations: int) -> None:
    """Stretch or shrink the schedule.

    Raises:
        DenseCLError: not a positive number, or the recipe counts epochs.
    """
    if iterations < 1:
        raise DenseCLError(f"--iterations {iterations}: give 1 or more.")
    if "max_iters" not in cfg.train_cfg:
        raise DenseCLError("--iterations: this recipe counts epochs; set train_cfg.max_epochs.")
    set_length(cfg, iterations)


def score_once(cfg: Config) -> None:
    """Score the test images at the end, with our own metric, and nothing before."""
    for name in ("dataloader", "cfg", "evaluator"):
        cfg[f"val_{name}"] = None
    cfg.test_evaluator = ConfigDict(type="PixelConfusion")
    cfg.train_cfg.pop("val_interval", None)


def _parts(dataset: ConfigDict) -> list[ConfigDict]:
    """Return the data sets that a data set joins, or repeats, or itself."""
    if dataset.type == "RepeatDataset":  # recipes are as long as their schedule says
        return _parts(dataset.dataset)
    return list(dataset.datasets) if dataset.type == "ConcatDataset" else [dataset]


def _names(cfg: Config, split: str) -> list[list[str]]:
    """Return the images of each part of a data set, which are all there with their masks."""
    names = []
    for part in _parts(cfg[f"{split}_dataloader"].dataset):
        try:
            found = _build(part, serialize_data=False).data_list
            files = [(info["img_path"], info["seg_map_path"]) for info in found]
            missing = [file for pair in files for file in pair if not Path(file).is_file()]
            if missing or not files:
                raise FileNotFoundError(f"'{missing[0]}' is missing" if missing else "no images")
        except (OSError, AssertionError, TypeError, ValueError, KeyError) as error:
            raise DenseCLError(
                f"the {split} images of the recipe, a {part.type} in"
                f" '{part.get('data_root') or '.'}', are not complete: {error}. Put them there, or"
                " give folders of your own: --train-images, --train-masks, --test-images and"
                " --test-masks."
            ) from None
        names.append([image for image, _ in files])
    return names


def _build(dataset: ConfigDict, **options: Any) -> Any:
    """Build a data set without its pipeline, whatever library's scope this process is in."""
    from mmseg.registry import DATASETS

    return DATASETS.build({**dataset, "_scope_": "mmseg", "pipeline": [], **options})
