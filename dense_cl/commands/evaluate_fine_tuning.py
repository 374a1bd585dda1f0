"""``dense-cl evaluate fine-tuning``."""

import argparse
from typing import Any

from dense_cl.commands.evaluate_options import (
    add_extraction,
    add_splits,
    cache_folder,
    chosen_splits,
    not_negative,
    positive,
    progress,
    side,
    whole,
)


def add_arguments(task: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_splits(task)
    task.add_argument("--size", type=side, default=224, help="side of the images (224)")
    task.add_argument("--steps", type=whole(1), default=5000, help="of 64 images (5000)")
    task.add_argument(
        "--rates", type=positive, nargs="+", metavar="X", help="(0.1, 0.01, 0.001 and 0.0001)"
    )
    task.add_argument(
        "--decays",
        type=not_negative,
        nargs="+",
        metavar="X",
        help="weight decay times rate (0, 1e-6, 1e-5, 1e-4 and 1e-3)",
    )
    add_extraction(task)
    task.set_defaults(evaluate=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate and print."""
    from dense_cl.evaluation.classifier_training import Recipe
    from dense_cl.evaluation.fine_tuning import DECAYS, RATES, evaluate_fine_tuning

    splits, metric = chosen_splits(args)
    result = evaluate_fine_tuning(
        args.backbone,
        splits,
        metric,
        Recipe(args.steps, args.size, args.workers, args.seed),
        args.rates or RATES,
        args.decays or DECAYS,
        progress,
        cache_folder(args),
    )
    print(f"{result['metric']:>18}  {100 * result['score']:5.1f}")
    return result
