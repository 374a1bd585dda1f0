"""Options that several tasks of ``dense-cl evaluate`` share, and what they mean."""

import argparse
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dense_cl.errors import DenseCLError

if TYPE_CHECKING:
    from dense_cl.evaluation.features import Extraction
    from dense_cl.evaluation.image_sets import Splits
    from dense_cl.evaluation.mask_folders import MaskFolders


_SIDES = 8, 4096  # pixels of what a backbone is shown


def whole(low: int, high: float = math.inf) -> Callable[[str], int]:
    """Return a type of argument: a whole number between two limits, both allowed."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None
        if not low <= value <= high:
            limits = f"{low} to {high}" if math.isfinite(high) else f"{low} or more"
            raise argparse.ArgumentTypeError(f"{value} is out of range; it is {limits}")
        return value

    return parse


side = whole(*_SIDES)
"""Type of an argument: pixels along a side of what a backbone is shown."""
seed = whole(0, 2**32 - 1)
"""Type of an argument: a seed, as NumPy takes it."""


def positive(text: str) -> float:
    """Parse an argument that is a number above 0."""
    return _real(text, "above 0", lambda value: value > 0)


def not_negative(text: str) -> float:
    """Parse an argument that is a number of 0 or more."""
    return _real(text, "0 or more", lambda value: value >= 0)


def _real(text: str, rule: str, holds: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
    if not (holds(value) and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text} is out of range; it is {rule}")
    return value


def progress(line: str) -> None:
    """Print a line beside the result."""
    print(line, file=sys.stderr, flush=True)


def add_cache(task: argparse.ArgumentParser) -> None:
    """Declare where features are kept."""
    where = task.add_mutually_exclusive_group()
    where.add_argument(
        "--cache",
        metavar="DIR",
        help="where features are kept for the next time (~/.cache/dense_cl/features)",
    )
    where.add_argument("--no-cache", action="store_true", help="keep no features")


def cache_folder(args: argparse.Namespace) -> Path | None:
    """Return where features are kept; None if they are not."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    cache = Path(args.cache) if args.cache else home / "dense_cl" / "features"
    return None if args.no_cache else cache.expanduser()


def add_extraction(task: argparse.ArgumentParser) -> None:
    """Declare where features are kept and how many processes read images."""
    add_cache(task)
    task.add_argument(
        "--workers", type=whole(0), default=1, metavar="N", help="processes that read images (1)"
    )


def extraction(args: argparse.Namespace) -> "Extraction":
    """Return how features are extracted."""
    from dense_cl.evaluation.features import Extraction

    return Extraction(cache_folder(args), args.workers, progress)


def add_splits(task: argparse.ArgumentParser) -> None:
    """Declare labelled images to train, choose and test with, and the metric."""
    data = task.add_argument_group(
        "data", "a data set by name and folder, or images with labels as for 'classification'"
    )
    data.add_argument(
        "--dataset", metavar="NAME", help="such as dtd, with --root; a wrong name lists all"
    )
    data.add_argument("--root", metavar="DIR", help="folder the data set lies in")
    data.add_argument("--train", metavar="PATH", help="a folder by class, or 'path, label' lines")
    data.add_argument("--val", metavar="PATH", help="without it, a fifth of --train")
    data.add_argument("--test", metavar="PATH", help="scored once")
    data.add_argument("--label-column", type=whole(1), default=1, metavar="N", help="of a line (1)")
    task.add_argument(
        "--metric",
        help="'top-1', 'mean per class' or '11-point mAP' (that of the data set; else top-1)",
    )


def chosen_splits(args: argparse.Namespace) -> "tuple[Splits, str]":
    """Return the labelled images and the metric."""
    from dense_cl.evaluation.datasets import choose_splits

    return choose_splits(
        args.dataset, args.root, args.train, args.val, args.test, args.label_column, args.metric
    )


def add_mask_folders(task: argparse.ArgumentParser, needed: dict[str, bool]) -> None:
    """Declare photos and masks of some splits, what the masks mean, and the size of the photos.

    Args:
        task: parser.
        needed: whether each split has to be given.
    """
    add_folders(task, needed, " (to choose among several --l2)")
    add_mask_classes(task, required=True)
    task.add_argument("--size", default="240x320", metavar="HxW", help="of the photos (240x320)")


def add_folders(options: Any, needed: dict[str, bool], note: str = "") -> None:
    """Declare folders of photos and masks.

    Args:
        options: parser, or a group of one.
        needed: whether each split has to be given.
        note: what is said of those that need not.
    """
    for split, required in needed.items():
        options.add_argument(
            f"--{split}-images",
            required=required,
            metavar="DIR",
            help=f"{split} photos{'' if required else note}",
        )
        options.add_argument(
            f"--{split}-masks", required=required, metavar="DIR", help="one PNG of classes for each"
        )


def add_mask_classes(options: Any, required: bool) -> None:
    """Declare what the values of masks mean, in a parser or a group of one."""
    number = options.add_mutually_exclusive_group(required=required)
    number.add_argument("--num-classes", type=whole(2), metavar="N", help="mask values 0 .. N-1")
    number.add_argument("--classes", metavar="FILE", help="text file, one class name a line")
    options.add_argument(
        "--ignore", default="255", metavar="V,V", help="mask values that mean void (255)"
    )


def mask_folders(args: argparse.Namespace, split: str) -> "MaskFolders":
    """Return the photos and masks of a split."""
    from dense_cl.evaluation.mask_folders import MaskFolders

    num_classes = args.num_classes or len(class_names(args))
    images, masks = getattr(args, f"{split}_images"), getattr(args, f"{split}_masks")
    return MaskFolders.find(images, masks, num_classes, _integers(args.ignore))


def class_names(args: argparse.Namespace) -> list[str]:
    """Return the names in the file ``--classes``; none without it."""
    if not args.classes:
        return []
    file = Path(args.classes)
    if not file.is_file():
        raise DenseCLError(f"--classes '{file}' does not exist; it is a text file, a name a line.")
    try:
        text = file.read_text(encoding="utf-8-sig")  # with the mark that some editors put first
    except UnicodeDecodeError:
        raise DenseCLError(f"--classes '{file}' is not UTF-8 text; save it as that.") from None
    names = [line.strip() for line in text.splitlines() if line.strip()]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DenseCLError(f"--classes '{file}' names '{twice}' twice; each class once.")
    if len(names) < 2:
        raise DenseCLError(
            f"--classes '{file}' names {len(names)} classes; two or more are needed."
        )
    return names


def pictures(args: argparse.Namespace) -> Path | None:
    """Return the folder beside the result where some predictions are drawn; none without one."""
    if not args.out:
        return None
    out = Path(args.out).expanduser()
    return out.with_name(f"{out.stem}_pictures")


def size(args: argparse.Namespace) -> tuple[int, int]:
    """Return height and width of ``--size``."""
    words = re.fullmatch(r"(\d+)x(\d+)", args.size)
    if words is None:
        raise DenseCLError(f"--size '{args.size}' is not HEIGHTxWIDTH. Write e.g. 240x320.")
    height, width = int(words[1]), int(words[2])
    if not _SIDES[0] <= min(height, width) <= max(height, width) <= _SIDES[1]:
        raise DenseCLError(
            f"--size '{args.size}' is out of range; sides are {_SIDES[0]} to {_SIDES[1]} pixels."
        )
    return height, width


def print_segmentation(result: dict[str, Any]) -> None:
    """Print IoU by class, where the result has it, and the scores over all classes."""
    for name, iou in result.get("iou", {}).items():
        print(f"{name:>16}  {'absent' if iou is None else f'{100 * iou:5.1f}'}")
    print(f"{'mean IoU':>16}  {100 * result['scores']['mean_iou']:5.1f}")
    print(f"{'pixel accuracy':>16}  {100 * result['scores']['pixel_accuracy']:5.1f}")


def _integers(text: str) -> list[int]:
    if not re.fullmatch(r"(\d+(,\d+)*)?", text):
        raise DenseCLError(f"--ignore '{text}' is not a list of numbers. Write e.g. 11,255.")
    return [int(word) for word in text.split(",") if word]
