"""``dense-cl show``: draw what a recipe's objectives will see."""

import argparse
import json
from pathlib import Path

from dense_cl.commands.evaluate_options import seed

_KINDS = ("views", "regions", "saliency", "crops", "correspondences", "features", "attention")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("kind", choices=_KINDS, help="what to draw")
    parser.add_argument("config", help="recipe: a file or the name of a packaged one")
    parser.add_argument("--data", help="images: folder, COCO .json or .txt list (the recipe's)")
    parser.add_argument("--annotations", help="COCO .json naming the images of --data to use")
    parser.add_argument("--out", default="work_dirs/show", metavar="DIR", help="(work_dirs/show)")
    parser.add_argument(
        "--backbone",
        metavar="FILE",
        help="weights: correspondences, features and attention after training, beside before",
    )
    parser.add_argument("--images", type=int, default=4, metavar="N", help="evenly spread (4)")
    parser.add_argument(
        "--draws", type=int, default=24, metavar="N", help="of crops, from as many epochs (24)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the weights before training")
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the recipe"
    )


def run(args: argparse.Namespace) -> int:
    """Draw, and say where the picture is."""
    from PIL import Image

    from dense_cl.diagnostics import show, show_attention, show_crops
    from dense_cl.engine.config import parse_options
    from dense_cl.errors import DenseCLError

    weights = args.kind in ("correspondences", "features", "attention")
    if args.backbone is not None and not weights:
        raise DenseCLError(f"--backbone says nothing about {args.kind}; leave it out.")
    options = parse_options(args.cfg_options)
    folder = Path(args.out).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DenseCLError(
            f"--out '{args.out}' cannot be a folder ({error.strerror}). Name another."
        ) from None
    seen = show.load_views(args.config, args.data, args.annotations, args.images, options)
    draw = {
        "views": show.show_views,
        "regions": show.show_regions,
        "saliency": show_crops.show_saliency,
        "crops": lambda seen: show_crops.show_crops(seen, args.draws),
        "correspondences": lambda seen: show.show_correspondences(seen, args.backbone, args.seed),
        "features": lambda seen: show.show_features(seen, args.backbone, args.seed),
        "attention": lambda seen: show_attention.show_attention(seen, args.backbone, args.seed),
    }[args.kind]
    drawing = draw(seen)
    picture = folder / f"{args.kind}.png"
    Image.fromarray(drawing.picture).save(picture)
    (folder / f"{args.kind}.json").write_text(json.dumps(drawing.facts, indent=2) + "\n")
    print(f"{picture} shows the {args.kind}; {picture.with_suffix('.json').name} has their numbers")
    return 0
