"""``dense-cl pretrain``."""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("config", help="recipe: a file or the name of a packaged one")
    parser.add_argument("--data", help="folder, COCO .json, .txt list or WebDataset shards")
    parser.add_argument("--annotations", help="COCO .json naming the images of --data to use")
    parser.add_argument("--work-dir", help="where to write (default: work_dirs/<recipe>)")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        help="go on from a checkpoint, or from the latest one of the work folder",
    )
    parser.add_argument(
        "--amp",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="mixed precision (default: where the hardware has it)",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the recipe"
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    # torch.distributed.launch passes this one; the environment says the same.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Pretrain; return 143 or 130 when stopped by SIGTERM or SIGINT, with the state saved."""
    from dense_cl.engine.config import parse_options
    from dense_cl.engine.pretrain import pretrain
    from dense_cl.engine.signals import TrainingStopped

    try:
        pretrain(
            args.config,
            data=args.data,
            annotations=args.annotations,
            work_dir=args.work_dir,
            resume=args.resume,
            amp=args.amp,
            cfg_options=parse_options(args.cfg_options),
            launcher=args.launcher,
        )
    except TrainingStopped as stop:
        print(f"dense-cl pretrain: {stop}. Go on with the same command and --resume.",
              file=sys.stderr)  # fmt: skip
        return stop.exit_status
    return 0
