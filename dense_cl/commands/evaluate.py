"""``dense-cl evaluate``: measure how a backbone transfers, frozen or trained further."""

import argparse
from typing import Any

from dense_cl.commands import (
    evaluate_clustering,
    evaluate_few_shot,
    evaluate_fine_tuning,
    evaluate_invariance,
    evaluate_keypoints,
    evaluate_many_shot,
    evaluate_objects,
    evaluate_retrieval,
    evaluate_segmentation_fine_tuning,
)
from dense_cl.commands.evaluate_options import (
    add_extraction,
    add_mask_folders,
    class_names,
    extraction,
    mask_folders,
    pictures,
    positive,
    print_segmentation,
    progress,
    seed,
    side,
    size,
    whole,
)
from dense_cl.commands.evaluate_several import each_run
from dense_cl.errors import DenseCLError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the tasks and their options."""
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    _add_segmentation(_add_task(tasks, "segmentation", "linear segmentation of frozen features"))
    _add_classification(
        _add_task(tasks, "classification", "kNN and linear classification of frozen features")
    )
    evaluate_objects.add_backgrounds(
        _add_task(tasks, "backgrounds", "how much frozen features tell of the background")
    )
    evaluate_objects.add_localization(
        _add_task(
            tasks, "localization", "where frozen features see objects, against where they are"
        )
    )
    for name, command, summary in (
        ("many-shot", evaluate_many_shot, "the best linear classifier of frozen features"),
        ("fine-tuning", evaluate_fine_tuning, "everything trained on labelled images"),
        (
            "segmentation-fine-tuning",
            evaluate_segmentation_fine_tuning,
            "everything trained on masks, with MMSegmentation",
        ),
        ("few-shot", evaluate_few_shot, "prototypes of a few images, over many episodes"),
        (
            "invariance",
            evaluate_invariance,
            "how little features change when one thing in a picture does",
        ),
        ("keypoints", evaluate_keypoints, "key points of an object found again in another"),
        ("clustering", evaluate_clustering, "k-means of patches, clusters named after classes"),
        ("retrieval", evaluate_retrieval, "segmentation by the patches that resemble each other"),
    ):
        command.add_arguments(_add_task(tasks, name, summary))


def _add_task(tasks: Any, name: str, summary: str) -> argparse.ArgumentParser:
    """Add a task with the options that all have."""
    task = tasks.add_parser(name, help=summary, description=summary)
    # A segmenter's recipe is named without an option, which could stand behind these.
    many: dict[str, Any] = {} if name == "segmentation-fine-tuning" else {"nargs": "+"}
    task.add_argument(
        "--backbone",
        required=True,
        **many,
        metavar="FILE",
        help="exported backbone, FILE:ARCH, 'torchvision:resnet50', 'random', or 'random:resnet50'"
        + ("; several, also with {seed} for all of --seed, need --out DIR" if many else ""),
    )
    task.add_argument(
        "--seed",
        type=seed,
        default=[0] if many else 0,
        **many,
        help="of the pretraining, or of random weights (0)",
    )
    task.add_argument(
        "--out",
        metavar="JSON",
        help="where to write the result" + ("; a folder for several" if many else ""),
    )
    return task


def _add_penalty(task: argparse.ArgumentParser) -> None:
    task.add_argument(
        "--l2", type=positive, nargs="+", metavar="X", help="weight penalty; several need --val-*"
    )


def _add_segmentation(task: argparse.ArgumentParser) -> None:
    _add_penalty(task)
    add_mask_folders(task, {"train": True, "val": False, "test": True})
    task.add_argument(
        "--stages", type=int, nargs="+", default=[-1], help="backbone stages to use (-1, the last)"
    )
    add_extraction(task)
    task.set_defaults(evaluate=_segmentation)


def _add_classification(task: argparse.ArgumentParser) -> None:
    _add_penalty(task)
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
        "--label-column", type=whole(1), default=1, metavar="N", help="label of a line to use (1)"
    )
    task.add_argument("--size", type=side, default=224, help="side of the central square (224)")
    add_extraction(task)
    task.set_defaults(evaluate=_classification)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the scores and write them."""
    from dense_cl.evaluation.results import check_writable, write_result

    for one in each_run(args) if isinstance(args.backbone, list) else [args]:
        if one.out:
            check_writable(one.out)
        result = one.evaluate(one) | {"command": one.command_line}
        if one.out:
            write_result(result, one.out)
    return 0


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
        progress=progress,
        extraction=extraction(args),
    )
    print(f"{'nearest neighbours':>18}  {100 * result['knn']:5.1f}")
    print(f"{'linear':>18}  {100 * result['linear']:5.1f}")
    return result


def _segmentation(args: argparse.Namespace) -> dict[str, Any]:
    from dense_cl.evaluation.segmentation import L2, evaluate_segmentation

    if bool(args.val_images) != bool(args.val_masks):
        raise DenseCLError("--val-images and --val-masks belong together; give both or neither.")
    result = evaluate_segmentation(
        args.backbone,
        mask_folders(args, "train"),
        mask_folders(args, "test"),
        mask_folders(args, "val") if args.val_images else None,
        size=size(args),
        stages=args.stages,
        l2=args.l2 or [L2],
        seed=args.seed,
        classes=class_names(args),
        progress=progress,
        extraction=extraction(args),
        pictures=pictures(args),
    )
    print_segmentation(result)
    return result
