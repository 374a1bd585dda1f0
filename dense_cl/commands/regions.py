"""``dense-cl regions``: find the regions of all images before training."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

_EVERY = 5.0  # seconds between two lines where there is no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("config", help="recipe: a file or the name of a packaged one")
    parser.add_argument("--data", help="folder, COCO .json or .txt list")
    parser.add_argument("--annotations", help="COCO .json naming the images of --data to use")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE_OR_DIR",
        help="the cache; in a folder it is named after the provider (default: the recipe's)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=_cores(),
        metavar="N",
        help="processes (default: one for each core)",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the recipe"
    )


def run(args: argparse.Namespace) -> int:
    """Extract, and say what was written."""
    from dense_cl.engine.config import apply_options, load_config, parse_options
    from dense_cl.engine.config_check import check_config
    from dense_cl.regions.extract import extract_regions

    cfg = load_config(args.config)
    apply_options(cfg, args.data, args.annotations, cfg_options=parse_options(args.cfg_options))
    check_config(cfg)
    source, provider, file = plan(cfg.train_dataloader.dataset, args.out)
    progress = Progress()
    try:
        done = extract_regions(source, provider, file, args.workers, progress)
    except KeyboardInterrupt:
        print("\ndense-cl regions: stopped. The same command goes on.", file=sys.stderr)
        return 130
    progress.end()
    listed = f", see {file}.quarantine.jsonl" if done.unreadable else ""
    print(
        f"{file}: {done.found} images done, {done.kept} kept, {done.unreadable} unreadable{listed};"
        f" {file.stat().st_size / 2**20:.1f} MiB, content {done.content}"
    )
    return 0


def plan(dataset: Any, out: Path | None) -> tuple[Any, Any, Path]:
    """Build what a recipe's data set says: the source, the provider, and where its cache lies.

    Raises:
        DenseCLError: it names no regions, or nowhere to write, or is a stream.
    """
    from dense_cl.errors import DenseCLError
    from dense_cl.regions.providers import RegionCache
    from dense_cl.registry import REGIONS, SOURCES

    if dataset.get("regions") is None:
        raise DenseCLError(
            "the recipe has no train_dataloader.dataset.regions. Add it, or give --cfg-options"
            " train_dataloader.dataset.regions.type=Felzenszwalb."
        )
    if dataset.type == "StreamViewDataset":
        raise DenseCLError("a stream has no order to keep regions by: unpack it into a folder.")
    regions = REGIONS.build(dict(dataset.regions))
    provider = regions.provider if isinstance(regions, RegionCache) else regions
    if out is None and not isinstance(regions, RegionCache):
        raise DenseCLError("the recipe's regions are no RegionCache with a file: give --out FILE.")
    file = Path(regions.file) if out is None else out
    if file.is_dir():
        file = file / f"{type(provider).__name__.lower()}.regions"
    return SOURCES.build(dict(dataset.source)), RegionCache(str(file), provider).provider, file


class Progress:
    """A line that says how far, how fast, and how long still."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()
        self._live = sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Print it when it is due."""
        now = time.monotonic()
        if now - self._last < (0.2 if self._live else _EVERY) and done < total:
            return
        self._last = now
        rate = done / max(now - self._start, 1e-9)
        text = f"regions {done}/{total}, {rate:.1f} images/s, {(total - done) / rate:.0f} s left"
        print(f"\r{text}\x1b[K" if self._live else text, end="" if self._live else "\n",
              file=sys.stderr, flush=True)  # fmt: skip

    def end(self) -> None:
        """Leave the line."""
        if self._live:
            print(file=sys.stderr)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
