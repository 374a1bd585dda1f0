"""``dense-cl export``: the backbone of a checkpoint as files that other libraries load."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("checkpoint", type=Path, help="file written by 'dense-cl pretrain'")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="name of the files to write; .pth and .safetensors are both written",
    )
    parser.add_argument(
        "--head-layers",
        type=int,
        default=0,
        metavar="N",
        help="write the first N layers of the projection head, too, for load_encoder (default: 0)",
    )


def run(args: argparse.Namespace) -> int:
    """Export and say what was written."""
    from dense_cl.transfer.export import export_backbone

    for path in export_backbone(args.checkpoint, args.out, args.head_layers):
        print(f"wrote {path} ({path.stat().st_size / 2**20:.1f} MiB)")
    return 0
