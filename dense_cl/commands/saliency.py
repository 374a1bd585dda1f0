"""``dense-cl saliency``: find what is salient in all images before training."""

import argparse
from contextlib import closing
from pathlib import Path

from dense_cl.commands import extraction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    extraction.add_arguments(parser)
    parser.add_argument(
        "--maps",
        type=Path,
        metavar="DIR",
        help="also write the grey maps as PNGs, which SaliencyMasks reads",
    )


def run(args: argparse.Namespace) -> int:
    """Extract, and say what was written and how often nothing is salient."""
    from dense_cl.commands.progress import Progress
    from dense_cl.errors import DenseCLError
    from dense_cl.regions.extract import extract_regions
    from dense_cl.regions.saliency import SaliencyProvider
    from dense_cl.regions.saliency.map_folder import MapFolder
    from dense_cl.sources import FolderSource

    plan = extraction.load_plan(args, "saliency", "RobustBackground")
    provider = plan.provider
    again: list[int] = []
    if args.maps is not None:
        if not isinstance(provider, SaliencyProvider):
            raise DenseCLError(
                f"--maps: {type(provider).__name__} gives regions, not saliency. Leave it out."
            )
        args.maps = args.maps.expanduser()
        source = plan.source  # a list of files takes no others in
        if isinstance(source, FolderSource) and args.maps.resolve().is_relative_to(
            Path(source.root).resolve()
        ):
            raise DenseCLError(
                f"--maps '{args.maps}' lies in the folder of photos '{source.root}', of which they"
                " would be photos the next time. Give a folder outside of it."
            )
        provider = MapFolder(provider, args.maps, plan.source)
        again = provider.missing()
    progress = Progress("saliency")
    status = extraction.finish(
        "saliency",
        lambda: extract_regions(
            plan.source, provider, plan.file, args.workers, progress, again, plan.limit
        ),
        plan.file,
    )
    if status == 0:
        _count(plan)
        if args.maps is not None:
            print(f"{args.maps}: {len(again) - len(provider.missing())} new grey maps")
    return status


def _count(plan: extraction.Plan) -> None:
    from dense_cl.regions.cache_file import CacheFile, decode

    images = nothing = 0
    with closing(CacheFile(plan.file)) as cache:
        for index in range(len(plan.source)):
            if (row := cache.get(index)) is not None:
                label_map = decode(row).label_map
                images += 1
                nothing += label_map is None or bool((label_map < 0).all())
    print(f"nothing is salient in {nothing} of {images} images")
