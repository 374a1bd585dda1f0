"""``dense-cl evaluate keypoints``."""

import argparse
from typing import Any

from dense_cl.commands.evaluate_options import (
    add_extraction,
    extraction,
    positive,
    seed,
    side,
    whole,
)


def add_arguments(task: argparse.ArgumentParser) -> None:
    """Declare the options."""
    task.add_argument(
        "--annotations", required=True, metavar="JSON", help="COCO file with keypoints"
    )
    task.add_argument("--images", metavar="DIR", help="its photos (default: found from the JSON)")
    task.add_argument("--pairs", type=whole(1), default=1000, help="of objects (1000)")
    task.add_argument("--size", type=side, default=224, help="side of the cut-out objects (224)")
    task.add_argument(
        "--stage", type=int, default=-2, help="feature map to match (-2, the last but one)"
    )
    task.add_argument(
        "--alpha", type=positive, default=0.1, help="tolerance, part of the box's larger side (0.1)"
    )
    task.add_argument("--draw-seed", type=seed, default=0, help="of the pairs (0)")
    add_extraction(task)
    task.set_defaults(evaluate=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate and print."""
    from dense_cl.evaluation.keypoint_objects import read_objects
    from dense_cl.evaluation.keypoints import evaluate_keypoints

    result = evaluate_keypoints(
        args.backbone,
        read_objects(args.annotations, args.images),
        args.pairs,
        size=args.size,
        stage=args.stage,
        alpha=args.alpha,
        seed=args.seed,
        draw_seed=args.draw_seed,
        extraction=extraction(args),
    )
    print(f"{f'PCK at {args.alpha:g}':>16}  {100 * result['scores']['pck']:5.1f}")
    return result
