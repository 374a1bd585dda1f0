"""``dense-cl quickstart``: see everything work on generated scenes."""

import argparse

from dense_cl.commands.evaluate_options import seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--work-dir", default="work_dirs/quickstart", help="where to write")
    parser.add_argument("--data", default="data/scenes", help="where the scenes are kept")
    parser.add_argument("--seed", type=seed, default=0, help="of pretraining and fine-tuning")


def run(args: argparse.Namespace) -> int:
    """Run what is not finished yet; print where the page is."""
    import sys

    from dense_cl.engine.signals import TrainingStopped
    from dense_cl.quickstart import Settings, quickstart

    try:
        quickstart(args.work_dir, args.data, Settings(seed=args.seed), say=_say)
    except TrainingStopped as stop:
        print(f"dense-cl quickstart: {stop}. The same command goes on.", file=sys.stderr)
        return stop.exit_status
    return 0


def _say(line: str) -> None:
    print(f"quickstart: {line}", flush=True)
