"""``dense-cl scenes``: generate synthetic multi-object scenes with labels."""

import argparse
import re
import sys

from dense_cl.commands.evaluate_options import seed
from dense_cl.errors import DenseCLError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write into")
    parser.add_argument("--train", type=int, default=400, metavar="N", help="training scenes")
    parser.add_argument("--val", type=int, default=100, metavar="N", help="validation scenes")
    parser.add_argument("--size", default="192x192", metavar="WxH", help="pixels (192x192)")
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help="same seed, same scenes")
    parser.add_argument(
        "--labelled", type=int, metavar="N", help="also list the first N training scenes apart"
    )
    parser.add_argument("--format", choices=("jpg", "png"), default="jpg", help="of the pictures")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes")


def run(args: argparse.Namespace) -> int:
    """Generate the scenes; return the exit status."""
    from dense_cl.sources.synthetic import generate_scenes

    size = re.fullmatch(r"(\d+)x(\d+)", args.size)
    if size is None:
        raise DenseCLError(f"--size '{args.size}' is not WIDTHxHEIGHT. Write e.g. 256x192.")
    files = generate_scenes(
        args.out,
        {"train": args.train, "val": args.val},
        size=(int(size[2]), int(size[1])),
        seed=args.seed,
        labelled=args.labelled,
        image_format=args.format,
        workers=args.workers,
        progress=_show_progress if sys.stderr.isatty() else None,
    )
    for name, path in files.items():
        print(f"{name}: {path}")
    return 0


def _show_progress(done: int, total: int) -> None:
    end = "\n" if done == total else ""
    print(f"\rscenes: {done} of {total}", end=end, file=sys.stderr, flush=True)
