"""Options of every command that fine-tunes by a recipe of an OpenMMLab library."""

import argparse


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Declare where a run writes, how it computes, and changes to its recipe."""
    parser.add_argument("--work-dir", help="where to write (default: work_dirs/<recipe>)")
    parser.add_argument(
        "--resume", action="store_true", help="go on from the latest checkpoint of the work folder"
    )
    parser.add_argument(
        "--amp",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="mixed precision (default: on CPUs that have bfloat16, else as the recipe says)",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the recipe"
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    # torch.distributed.launch passes this one; the environment says the same.
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
