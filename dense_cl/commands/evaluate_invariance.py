"""``dense-cl evaluate invariance``: how little features change when one thing in a picture does."""

import argparse
from typing import Any

from dense_cl.commands.evaluate_options import add_cache, cache_folder, progress, side, whole
from dense_cl.errors import DenseCLError

_STEPS, _MAX_IMAGES, _REFERENCE_SCENES = 8, 100, 1000
# Which kind of pictures an option belongs to.
_BELONGS = {
    "factors": ("scenes",),
    "reference_scenes": ("scenes",),
    "transforms": ("images",),
    "annotations": ("images",),
    "max_images": ("images",),
    "group": ("sets",),
    "steps": ("scenes", "images"),
}


def add_arguments(task: argparse.ArgumentParser) -> None:
    """Declare the options."""
    kind = task.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--scenes", type=whole(2), metavar="N", help="render so many synthetic scenes"
    )
    kind.add_argument("--images", metavar="PATH", help="photos to transform: folder, .json or .txt")
    kind.add_argument("--sets", metavar="DIR", help="a subfolder of pictures for each object")
    task.add_argument(
        "--group",
        metavar="REGEX",
        help="files of --sets whose paths agree in its groups are a set; (?P<class>...) is a class",
    )
    task.add_argument("--factors", nargs="+", metavar="NAME", help="of the scenes (all)")
    task.add_argument("--transforms", nargs="+", metavar="NAME", help="of the photos (all)")
    task.add_argument("--annotations", help="COCO .json naming the images of --images to use")
    task.add_argument(
        "--max-images", type=whole(2), metavar="N", help=f"photos, evenly spread ({_MAX_IMAGES})"
    )
    task.add_argument(
        "--steps", type=whole(2), metavar="N", help=f"pictures of a scene or photo ({_STEPS})"
    )
    task.add_argument("--size", type=side, default=224, help="side of the pictures (224)")
    task.add_argument(
        "--reference",
        metavar="PATH",
        help="photos to learn whitening from (other scenes, all of --images, those of --sets)",
    )
    task.add_argument(
        "--reference-scenes", type=whole(3), metavar="N", help=f"number of ({_REFERENCE_SCENES})"
    )
    add_cache(task)
    task.set_defaults(evaluate=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate, and print scores with their intervals and nulls."""
    from dense_cl.evaluation.invariance import (
        TRANSFORMS,
        evaluate_invariance,
        folder_sets,
        reference_sets,
        scene_sets,
        transform_sets,
    )
    from dense_cl.sources.selection import evenly_spread
    from dense_cl.sources.synthetic import FACTORS, SyntheticScenes

    kind = next(name for name in ("scenes", "images", "sets") if getattr(args, name) is not None)
    for option, owners in _BELONGS.items():
        if kind not in owners and getattr(args, option) is not None:
            flag = option.replace("_", "-")
            raise DenseCLError(
                f"--{flag} belongs to --{' and --'.join(owners)}; leave it out with --{kind}."
            )
    if args.reference and args.reference_scenes:
        raise DenseCLError("--reference and --reference-scenes exclude each other; give one.")
    steps = _STEPS if args.steps is None else args.steps
    settings: dict[str, Any] = {"pictures": kind, "size": args.size}
    if kind == "scenes":
        factors = args.factors or list(FACTORS)
        groups = {f: scene_sets(f, args.scenes, steps, args.size) for f in factors}
        count = args.reference_scenes or _REFERENCE_SCENES
        others: Any = SyntheticScenes(count, (args.size, args.size), split="reference")
        settings |= {"factors": factors, "steps": steps, "sets": args.scenes}
    elif kind == "images":
        others = _source(args.images, args.annotations)
        transforms = args.transforms or list(TRANSFORMS)
        indices = evenly_spread(len(others), args.max_images or _MAX_IMAGES)
        groups = {
            name: transform_sets(others, indices, name, steps, args.size) for name in transforms
        }
        settings |= {"transforms": transforms, "steps": steps, "sets": len(indices)}
        settings["data"] = others.fingerprint()
    else:
        groups = {"sets": folder_sets(args.sets, args.size, args.group)}
        settings |= {"sets": len(groups["sets"].names), "data": groups["sets"].fingerprint}
        settings["group"] = args.group
        others = None
    if args.reference:
        others = _source(args.reference)
    reference = None
    if others is not None:
        reference = reference_sets(others, args.size)
        settings["reference"] = {"images": len(others), "fingerprint": others.fingerprint()}
    result = evaluate_invariance(
        args.backbone,
        groups,
        reference,
        settings,
        seed=args.seed,
        cache=cache_folder(args),
        progress=progress,
    )
    nulls = result["nulls"]
    print(f"{'':32}{'score':>9}{'95 % interval':>20}" + "".join(f"{n:>14}" for n in nulls))
    for name, score in result["scores"].items():
        low, high = result["intervals"][name]
        chance = "".join(f"{null['scores'][name]:14.3f}" for null in nulls.values())
        limits = "not known" if low is None else f"{low:.3f} to {high:.3f}"
        print(f"{name:32}{score:9.3f}{limits:>20}{chance}")
    return result


def _source(data: str, annotations: str | None = None) -> Any:
    from dense_cl.registry import SOURCES
    from dense_cl.sources.base import ImageSource, source_from_path

    source = SOURCES.build(source_from_path(data, annotations))
    if not isinstance(source, ImageSource):
        raise DenseCLError(
            f"'{data}' is a stream; give a folder, a .json or a .txt list of photos."
        )
    return source
