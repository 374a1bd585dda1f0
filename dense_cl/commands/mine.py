"""``dense-cl mine``: find alike regions of different images, the second stage of ORL."""

import argparse
import sys
from pathlib import Path
from typing import Any

from dense_cl.commands.evaluate_options import whole
from dense_cl.errors import DenseCLError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("config", help="recipe of the third stage: a file or a packaged one's name")
    parser.add_argument(
        "--backbone",
        required=True,
        metavar="FILE",
        help="of the first stage; exported with --head-layers 2, its projections find neighbours",
    )
    parser.add_argument("--data", help="folder, COCO .json or .txt list")
    parser.add_argument("--annotations", help="COCO .json naming the images of --data to use")
    parser.add_argument(
        "--out", metavar="FILE", help="where to write (default: the recipe's pairs)"
    )
    parser.add_argument(
        "--workers",
        type=whole(0),
        default=2,
        metavar="N",
        help="processes that cut crops, 0 for this one (2)",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the recipe"
    )


def run(args: argparse.Namespace) -> int:
    """Mine, and say what was found."""
    from dense_cl.commands.progress import Progress
    from dense_cl.engine.config import apply_options, load_config, parse_options
    from dense_cl.engine.config_check import check_config
    from dense_cl.mining.mine import mine
    from dense_cl.mining.settings import MiningSettings
    from dense_cl.registry import REGIONS, SOURCES

    cfg = load_config(args.config)
    apply_options(cfg, args.data, args.annotations, cfg_options=parse_options(args.cfg_options))
    check_config(cfg)
    dataset = _dataset(cfg)
    out = Path(args.out or dataset.pairs)
    try:
        pairs = mine(
            args.backbone,
            SOURCES.build(dict(dataset.source)),
            REGIONS.build(dict(dataset.regions)),
            out,
            MiningSettings(**dataset.get("mining", {})),
            args.workers,
            Progress("mining"),
        )
    except KeyboardInterrupt:
        print("\ndense-cl mine: stopped. The same command goes on.", file=sys.stderr)
        return 130
    for name, reason in pairs.meta["unreadable"].items():
        print(f"unreadable: {name} ({reason})", file=sys.stderr)
    found = len(pairs) - len(pairs.meta["unreadable"])
    print(
        f"{out}: {found} images with {len(pairs.boxes) / found:.1f} regions and"
        f" {len(pairs.pairs) / found:.1f} pairs each, content {pairs.fingerprint}"
    )
    return 0


def _dataset(cfg: Any) -> Any:
    """Return the recipe's data set, if pairs can be mined for it."""
    dataset = cfg.train_dataloader.dataset
    if dataset.type != "ObjectPairDataset":
        raise DenseCLError(
            f"the recipe's data set is a {dataset.type}, which knows no pairs. Give a recipe with"
            " an ObjectPairDataset, such as orl_resnet18_1xb32_cosine_40e_voc_animals."
        )
    if dataset.get("regions") is None:
        raise DenseCLError(
            "the recipe has no train_dataloader.dataset.regions. Add it, for example"
            " dict(type='RegionCache', file='FILE', provider=dict(type='SelectiveSearch'))."
        )
    return dataset
