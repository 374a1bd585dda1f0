"""``dense-cl evaluate few-shot``."""

import argparse
from typing import Any

from dense_cl.commands.evaluate_options import add_extraction, extraction, seed, side, whole


def add_arguments(task: argparse.ArgumentParser) -> None:
    """Declare the options."""
    data = task.add_argument_group("data", "a data set by name and folder, or labelled images")
    data.add_argument("--dataset", metavar="NAME", help="needs --root")
    data.add_argument("--root", metavar="DIR", help="folder the data set lies in")
    data.add_argument(
        "--images", nargs="+", metavar="PATH", help="folders by class, or 'path, label' lines"
    )
    data.add_argument("--label-column", type=whole(1), default=1, metavar="N", help="of a line (1)")
    task.add_argument("--way", type=whole(2), default=5, help="classes of an episode (5)")
    task.add_argument("--shot", type=whole(1), default=5, help="images of each to learn from (5)")
    task.add_argument("--query", type=whole(1), default=15, help="images of each to score (15)")
    task.add_argument("--episodes", type=whole(2), default=600, help="(600)")
    task.add_argument("--size", type=side, default=224, help="side of the images (224)")
    task.add_argument("--draw-seed", type=seed, default=0, help="of the episodes (0)")
    add_extraction(task)
    task.set_defaults(evaluate=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate and print."""
    from dense_cl.evaluation.datasets import choose_images
    from dense_cl.evaluation.few_shot import evaluate_few_shot

    result = evaluate_few_shot(
        args.backbone,
        choose_images(args.dataset, args.root, args.images, args.label_column),
        args.way,
        args.shot,
        args.query,
        args.episodes,
        size=args.size,
        seed=args.seed,
        draw_seed=args.draw_seed,
        extraction=extraction(args),
    )
    accuracy, half = 100 * result["scores"]["accuracy"], 100 * result["interval"]
    print(f"{args.way}-way {args.shot}-shot  {accuracy:5.2f} +- {half:.2f}")
    return result
