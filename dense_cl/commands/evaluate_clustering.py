"""``dense-cl evaluate clustering``."""

import argparse
from typing import Any

from dense_cl.commands.evaluate_options import (
    add_extraction,
    add_mask_folders,
    extraction,
    mask_folders,
    pictures,
    print_segmentation,
    size,
    whole,
)


def add_arguments(task: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_mask_folders(task, {"test": True})
    task.add_argument(
        "--clusters",
        type=whole(2),
        nargs="+",
        default=[],
        metavar="N",
        help="over-clustering as well",
    )
    task.add_argument("--stage", type=int, default=-1, help="feature map to cluster (-1, the last)")
    add_extraction(task)
    task.set_defaults(evaluate=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate and print."""
    from dense_cl.evaluation.clustering import evaluate_clustering

    result = evaluate_clustering(
        args.backbone,
        mask_folders(args, "test"),
        args.clusters,
        size=size(args),
        stage=args.stage,
        seed=args.seed,
        extraction=extraction(args),
        pictures=pictures(args),
    )
    print_segmentation(result)
    for number in dict.fromkeys(args.clusters):
        iou = result["scores"][f"over_{number}"]["mean_iou"]
        print(f"{f'{number} clusters':>16}  {100 * iou:5.1f} mean IoU")
    return result
