"""``dense-cl export``."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("checkpoint", help="file written by dense-cl pretrain")
    parser.add_argument("--out", required=True, help="name of the .pth and .safetensors files")


def run(args: argparse.Namespace) -> int:
    """Write the backbone of a checkpoint."""
    from dense_cl.transfer.export import export_backbone

    for path in export_backbone(args.checkpoint, args.out):
        print(path)
    return 0
