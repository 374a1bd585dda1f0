"""What ``dense-cl regions`` and ``saliency`` share: look at all images once, into a cache."""

import argparse
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dense_cl.commands.evaluate_options import whole


@dataclass(frozen=True)
class Plan:
    """What a recipe's data set says.

    Attributes:
        source: the images.
        provider: looks at them.
        file: where the cache lies.
        limit: share of unreadable images that is too large.
    """

    source: Any
    provider: Any
    file: Path
    limit: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("config", help="recipe: a file or the name of a packaged one")
    parser.add_argument("--data", help="folder, COCO .json or .txt list")
    parser.add_argument("--annotations", help="COCO .json naming the images of --data to use")
    parser.add_argument(
        "--out",
        metavar="FILE_OR_DIR",
        help="the cache; in a folder, one that is there or a name with / at its end, it is named"
        " after the provider (default: the recipe's)",
    )
    parser.add_argument(
        "--workers",
        type=whole(0),
        default=_cores(),
        metavar="N",
        help="processes, 0 for this one (default: one for each core)",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the recipe"
    )


def load_plan(args: argparse.Namespace, key: str, example: str) -> Plan:
    """Read the recipe and its changes, and build what it says.

    Args:
        args: of ``add_arguments``.
        key: which provider of the data set: ``regions`` or ``saliency``.
        example: the type of provider that a recipe without any gets.

    Raises:
        DenseCLError: a mistake in the recipe; it names nowhere to write, or is a stream.
    """
    from dense_cl.engine.config import apply_options, load_config, parse_options
    from dense_cl.engine.config_check import check_config
    from dense_cl.errors import DenseCLError
    from dense_cl.regions.providers import RegionCache
    from dense_cl.registry import REGIONS, SOURCES
    from dense_cl.sources.quarantine import LIMIT

    cfg = load_config(args.config)
    apply_options(cfg, args.data, args.annotations, cfg_options=parse_options(args.cfg_options))
    check_config(cfg)
    dataset = cfg.train_dataloader.dataset
    if dataset.type == "StreamViewDataset":
        raise DenseCLError(f"a stream has no order to keep {key} by: unpack it into a folder.")
    if dataset.get(key) is None:
        if args.out is None:
            raise DenseCLError(
                f"the recipe has no train_dataloader.dataset.{key}. Add it, or give --out FILE"
                f" for {example}; for another, --cfg-options"
                f" train_dataloader.dataset.{key}.type=... too."
            )
        print(f"dense-cl {key}: the recipe has no {key}: it is {example}'s.", file=sys.stderr)
        dataset[key] = {"type": example}
    given = REGIONS.build(dict(dataset[key]))
    provider = given.provider if isinstance(given, RegionCache) else given
    if args.out is None and not isinstance(given, RegionCache):
        raise DenseCLError(f"the recipe's {key} is no RegionCache with a file: give --out FILE.")
    named = given.file if args.out is None else args.out
    file = Path(named).expanduser()
    if file.is_dir() or named.endswith(os.sep):
        file = file / f"{_snake_case(type(provider).__name__)}.{key}"
    source = SOURCES.build(dict(dataset.source))
    limit = ((cfg.get("default_hooks") or {}).get("quarantine") or {}).get("limit", LIMIT)
    return Plan(source, RegionCache(str(file), provider).provider, file, limit)


def finish(command: str, extract: Callable[[], Any], file: Path) -> int:
    """Run an extraction to its end or to Ctrl-C, and say what was written; the exit status."""
    try:
        done = extract()
    except KeyboardInterrupt:
        print(f"\ndense-cl {command}: stopped. The same command goes on.", file=sys.stderr)
        return 130
    listed = f", see {file}.quarantine.jsonl" if done.unreadable else ""
    print(
        f"{file}: {done.found} images done, {done.kept} kept, {done.unreadable} unreadable{listed};"
        f" {file.stat().st_size / 2**20:.1f} MiB, content {done.content}"
    )
    return 0


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
