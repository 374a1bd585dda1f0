"""``dense-cl evaluate many-shot``."""

import argparse
from typing import Any

from dense_cl.commands.evaluate_options import (
    add_extraction,
    add_splits,
    chosen_splits,
    extraction,
    positive,
    side,
)


def add_arguments(task: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_splits(task)
    task.add_argument("--size", type=side, default=224, help="side of the central square (224)")
    task.add_argument(
        "--l2", type=positive, nargs="+", default=[], metavar="X", help="(45 values, 1e-6 to 1e5)"
    )
    add_extraction(task)
    task.set_defaults(evaluate=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate and print."""
    from dense_cl.evaluation.many_shot import evaluate_many_shot

    splits, metric = chosen_splits(args)
    result = evaluate_many_shot(
        args.backbone,
        splits,
        metric,
        size=args.size,
        penalties=args.l2,
        seed=args.seed,
        extraction=extraction(args),
    )
    print(f"{result['metric']:>18}  {100 * result['score']:5.1f}")
    return result
