"""``dense-cl evaluate retrieval``."""

import argparse
from typing import Any

from dense_cl.commands.evaluate_options import (
    add_extraction,
    add_mask_folders,
    class_names,
    extraction,
    mask_folders,
    pictures,
    positive,
    print_segmentation,
    size,
    whole,
)


def add_arguments(task: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_mask_folders(task, {"train": True, "test": True})
    task.add_argument("--stage", type=int, default=-1, help="feature map to match (-1, the last)")
    task.add_argument("--neighbours", type=whole(1), default=30, metavar="K", help="that vote (30)")
    task.add_argument("--temperature", type=positive, default=0.02, help="of their votes (0.02)")
    task.add_argument(
        "--memory",
        type=whole(1),
        default=1_000_000,
        metavar="N",
        help="training patches kept (1000000)",
    )
    add_extraction(task)
    task.set_defaults(evaluate=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate and print."""
    from dense_cl.evaluation.retrieval import evaluate_retrieval

    result = evaluate_retrieval(
        args.backbone,
        mask_folders(args, "train"),
        mask_folders(args, "test"),
        size=size(args),
        stage=args.stage,
        k=args.neighbours,
        temperature=args.temperature,
        memory=args.memory,
        seed=args.seed,
        classes=class_names(args),
        extraction=extraction(args),
        pictures=pictures(args),
    )
    print_segmentation(result)
    return result
