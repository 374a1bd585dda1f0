"""``dense-cl evaluate``: measure how a backbone transfers without being trained further."""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from dense_cl.commands import evaluate_invariance
from dense_cl.errors import DenseCLError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the tasks and their options."""
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    _add_segmentation(_add_task(tasks, "segmentation", "linear segmentation of frozen features"))
    _add_classification(
        _add_task(tasks, "classification", "kNN and linear classification of frozen features")
    )
    evaluate_invariance.add_arguments(
        _add_task(
            tasks, "invariance", "how little features change when one thing in a picture does"
        )
    )


def _add_task(tasks: Any, name: str, summary: str) -> argparse.ArgumentParser:
    """Add a task with the options that all have."""
    task = tasks.add_parser(name, help=summary, description=summary)
    task.add_argument(
        "--backbone",
        required=True,
        metavar="FILE",
        help="exported backbone, or 'random', or 'random:resnet50'",
    )
    task.add_argument("--seed", type=int, default=0, help="of a random backbone")
    task.add_argument("--out", metavar="JSON", help="where to write the result")
    return task


def _add_l2(task: argparse.ArgumentParser) -> None:
    task.add_argument(
        "--l2", type=float, nargs="+", metavar="X", help="weight penalty; several need --val-*"
    )


def _add_segmentation(task: argparse.ArgumentParser) -> None:
    _add_l2(task)
    for split in ("train", "val", "test"):
        needed = split != "val"
        note = "" if needed else " (to choose among several --l2)"
        task.add_argument(
            f"--{split}-images", required=needed, metavar="DIR", help=f"{split} photos{note}"
        )
        task.add_argument(
            f"--{split}-masks", required=needed, metavar="DIR", help="one PNG of classes for each"
        )
    number = task.add_mutually_exclusive_group(required=True)
    number.add_argument("--num-classes", type=int, metavar="N", help="mask values 0 .. N-1")
    number.add_argument("--classes", metavar="FILE", help="text file, one class name a line")
    task.add_argument(
        "--ignore", default="255", metavar="V,V", help="mask values that mean void (255)"
    )
    task.add_argument("--size", default="240x320", metavar="HxW", help="of the photos (240x320)")
    task.add_argument(
        "--stages", type=int, nargs="+", default=[-1], help="backbone stages to use (-1, the last)"
    )
    task.set_defaults(evaluate=_segmentation)


def _add_classification(task: argparse.ArgumentParser) -> None:
    _add_l2(task)
    for split in ("train", "val", "test"):
        needed = split != "val"
        note = "" if needed else " (to choose among several --l2)"
        task.add_argument(
            f"--{split}",
            required=needed,
            metavar="PATH",
            help=f"{split} images{note}: a folder with one subfolder for each class, or a text "
            "file of 'path, label' lines",
        )
    task.add_argument(
        "--label-column", type=int, default=1, metavar="N", help="label of a line to use (1)"
    )
    task.add_argument("--size", type=int, default=224, help="side of the central square (224)")
    task.set_defaults(evaluate=_classification)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the scores and write them."""
    result = args.evaluate(args) | {"command": args.command_line}
    if args.out:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        Path(args.out).write_text(json.dumps(result, indent=2) + "\n")
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _classification(args: argparse.Namespace) -> dict[str, Any]:
    from dense_cl.evaluation.classification import L2, evaluate_classification
    from dense_cl.evaluation.labelled_images import LabelledImages

    train, val, test = (
        LabelledImages.find(path, args.label_column) if path else None
        for path in (args.train, args.val, args.test)
    )
    assert train is not None and test is not None
    result = evaluate_classification(
        args.backbone,
        train,
        test,
        val,
        size=args.size,
        l2=args.l2 or [L2],
        seed=args.seed,
        progress=_progress,
    )
    print(f"{'nearest neighbours':>18}  {100 * result['knn']:5.1f}")
    print(f"{'linear':>18}  {100 * result['linear']:5.1f}")
    return result


def _segmentation(args: argparse.Namespace) -> dict[str, Any]:
    from dense_cl.evaluation.mask_folders import MaskFolders
    from dense_cl.evaluation.segmentation import L2, evaluate_segmentation

    names = _class_names(args.classes) if args.classes else []
    num_classes = args.num_classes or len(names)
    if num_classes < 2:
        raise DenseCLError(f"--num-classes {num_classes}: at least two classes are needed.")
    ignore = _integers(args.ignore)

    def folders(split: str) -> MaskFolders:
        images, masks = getattr(args, f"{split}_images"), getattr(args, f"{split}_masks")
        return MaskFolders.find(images, masks, num_classes, ignore)

    if bool(args.val_images) != bool(args.val_masks):
        raise DenseCLError("--val-images and --val-masks belong together; give both or neither.")
    result = evaluate_segmentation(
        args.backbone,
        folders("train"),
        folders("test"),
        folders("val") if args.val_images else None,
        size=_size(args.size),
        stages=args.stages,
        l2=args.l2 or [L2],
        seed=args.seed,
        classes=names,
        progress=_progress,
    )
    for name, iou in result["iou"].items():
        print(f"{name:>16}  {'absent' if iou is None else f'{100 * iou:5.1f}'}")
    print(f"{'mean IoU':>16}  {100 * result['mean_iou']:5.1f}")
    print(f"{'pixel accuracy':>16}  {100 * result['pixel_accuracy']:5.1f}")
    return result


def _class_names(file: str) -> list[str]:
    if not Path(file).is_file():
        raise DenseCLError(f"--classes '{file}' does not exist; it is a text file, a name a line.")
    return [line.strip() for line in Path(file).read_text().splitlines() if line.strip()]


def _integers(text: str) -> list[int]:
    if not re.fullmatch(r"(\d+(,\d+)*)?", text):
        raise DenseCLError(f"--ignore '{text}' is not a list of numbers. Write e.g. 11,255.")
    return [int(word) for word in text.split(",") if word]


def _size(text: str) -> tuple[int, int]:
    size = re.fullmatch(r"(\d+)x(\d+)", text)
    if size is None or "0" in size.groups():
        raise DenseCLError(f"--size '{text}' is not HEIGHTxWIDTH. Write e.g. 240x320.")
    return int(size[1]), int(size[2])
