"""``dense-cl diagnose``: what the features of a backbone are like, and whether they are healthy."""

import argparse
import sys
from pathlib import Path
from typing import Any

from dense_cl.commands.evaluate_options import seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "backbone",
        metavar="CHECKPOINT_OR_BACKBONE",
        help="file of 'dense-cl pretrain', exported backbone, 'random' or 'random:resnet50'",
    )
    parser.add_argument("--data", required=True, help="images: folder, COCO .json or .txt list")
    parser.add_argument("--annotations", help="COCO .json naming the images of --data to use")
    parser.add_argument(
        "--labels",
        metavar="PATH",
        help="labelled images: a folder with a subfolder for each class, or a text file with "
        "lines of 'path, label' (adds kNN, tolerance and the temperature sweep)",
    )
    parser.add_argument(
        "--label-column", type=int, default=1, metavar="N", help="which label of a line (1)"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="folder for the results (diagnostics beside the checkpoint)"
    )
    parser.add_argument(
        "--max-images", type=int, default=1000, metavar="N", help="of each set (1000)"
    )
    parser.add_argument("--views", type=int, default=2, metavar="N", help="of each image (2)")
    parser.add_argument(
        "--size", type=int, metavar="PIXELS", help="side of the views (the recipe's, or 224)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of a random backbone")


def run(args: argparse.Namespace) -> int:
    """Diagnose, print the judgements, and say where the plots are."""
    from dense_cl.diagnostics.diagnose import diagnose

    out = Path(args.out) if args.out else _default_out(args.backbone)
    result = diagnose(
        args.backbone,
        data=args.data,
        annotations=args.annotations,
        labels=args.labels,
        column=args.label_column,
        out=out,
        max_images=args.max_images,
        views=args.views,
        size=args.size,
        seed=args.seed,
        progress=lambda line: print(line, file=sys.stderr, flush=True) if line else None,
    )
    for name, space in result["spaces"].items():
        print(f"{name}, {space['channels']} dimensions")
        for line in lines(space["judgements"]):
            print(f"  {line}")
    print(f"{out / 'diagnosis.html'} shows the plots")
    return 0


def lines(judgements: list[dict[str, Any]]) -> list[str]:
    """Return a line of text for each judgement."""
    width = max(len(judged["measure"]) for judged in judgements)
    return [
        f"{j['measure']:{width}}  {j['value']:8.4g}  {j['verdict']:10}  {j['sentence']}"
        for j in judgements
    ]


def _default_out(backbone: str) -> Path:
    file = Path(backbone)
    if not file.is_file():
        return Path("work_dirs/diagnostics")
    run = file.parent.parent if file.parent.name == "checkpoints" else file.parent
    return run / "diagnostics"
