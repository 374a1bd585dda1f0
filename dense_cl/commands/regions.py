"""``dense-cl regions``: find the regions of all images before training."""

import argparse

from dense_cl.commands.extraction import add_arguments, finish, load_plan

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    """Extract, and say what was written."""
    from dense_cl.commands.progress import Progress
    from dense_cl.regions.extract import extract_regions

    plan = load_plan(args, "regions", "Felzenszwalb")
    progress = Progress("regions")
    return finish(
        "regions",
        lambda: extract_regions(
            plan.source, plan.provider, plan.file, args.workers, progress, limit=plan.limit
        ),
        plan.file,
    )
