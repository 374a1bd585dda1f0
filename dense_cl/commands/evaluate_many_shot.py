"""``dense-cl evaluate many-shot``."""

import argparse
from typing import Any

from dense_cl.commands.evaluate_options import add_extraction, extraction


def add_arguments(task: argparse.ArgumentParser) -> None:
    """Declare the options."""
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
    data.add_argument("--label-column", type=int, default=1, metavar="N", help="of a line (1)")
    task.add_argument(
        "--metric",
        help="'top-1', 'mean per class' or '11-point mAP' (that of the data set; else top-1)",
    )
    task.add_argument("--size", type=int, default=224, help="side of the central square (224)")
    task.add_argument(
        "--l2", type=float, nargs="+", default=[], metavar="X", help="(45 values, 1e-6 to 1e5)"
    )
    add_extraction(task)
    task.set_defaults(evaluate=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate and print."""
    from dense_cl.evaluation.datasets import choose_splits
    from dense_cl.evaluation.many_shot import evaluate_many_shot

    splits, metric = choose_splits(
        args.dataset, args.root, args.train, args.val, args.test, args.label_column
    )
    result = evaluate_many_shot(
        args.backbone,
        splits,
        args.metric or metric,
        size=args.size,
        penalties=args.l2,
        seed=args.seed,
        extraction=extraction(args),
    )
    print(f"{result['metric']:>18}  {100 * result['score']:5.1f}")
    return result
