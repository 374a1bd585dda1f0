"""The tasks of ``dense-cl evaluate`` that need to know where objects are."""

import argparse
from collections.abc import Sequence
from typing import Any

from dense_cl.commands.evaluate_options import pictures, positive, side, whole
from dense_cl.commands.progress import Progress

_NAMES = {
    "corloc": "CorLoc",
    "box_iou": "IoU of box",
    "box_share": "box's share of the image",
    "pointing": "pointing game",
    "iou": "IoU of map",
    "max_f": "saliency max F",
    "mae": "saliency MAE",
    "s_measure": "saliency S",
}


def add_localization(task: argparse.ArgumentParser) -> None:
    """Declare the options of ``evaluate localization``."""
    task.add_argument("--images", metavar="DIR", help="photos (default: found from --annotations)")
    task.add_argument("--annotations", metavar="JSON", help="COCO JSON of their objects")
    task.add_argument("--masks", metavar="DIR", help="instead: masks of the same names")
    task.add_argument("--limit", type=whole(1), metavar="N", help="so many photos, evenly spread")
    task.add_argument(
        "--stage",
        type=int,
        default=-2,
        help="feature map of LOST and TokenCut (-2, the last but one)",
    )
    task.add_argument(
        "--size", type=side, default=320, help="longer side of what the backbone sees (320)"
    )
    task.add_argument(
        "--keys", type=whole(1), default=4, help="random crops Grad-CAM compares a photo with (4)"
    )
    task.add_argument(
        "--threshold", type=float, default=0.15, help="share of a map's maximum that marks (0.15)"
    )
    task.add_argument("--report", metavar="HTML", help="a page that shows every photo, worst first")
    task.set_defaults(evaluate=_localization)


def add_backgrounds(task: argparse.ArgumentParser) -> None:
    """Declare the options of ``evaluate backgrounds``."""
    for split in ("train", "test"):
        task.add_argument(
            f"--{split}", required=True, metavar="JSON", help=f"COCO JSON with masks, {split} set"
        )
        task.add_argument(
            f"--{split}-images", metavar="DIR", help="its photos (default: found from the JSON)"
        )
    task.add_argument("--size", type=side, default=224, help="side of the images (224)")
    task.add_argument(
        "--min-images",
        type=whole(2),
        default=5,
        help="smaller classes are left out (5, in both sets)",
    )
    task.add_argument(
        "--coarse", action="store_true", help="classes are the supercategories of the JSON"
    )
    task.add_argument("--l2", type=positive, default=1e-3, help="penalty of the linear classifier")
    task.set_defaults(evaluate=_backgrounds)


def _backgrounds(args: argparse.Namespace) -> dict[str, Any]:
    from dense_cl.evaluation.background_challenge import evaluate_backgrounds
    from dense_cl.evaluation.object_files import CocoImages

    meters: dict[str, Progress] = {}

    def progress(what: str, done: int, total: int) -> None:
        meters.setdefault(what, Progress(what))(done, total)

    result = evaluate_backgrounds(
        args.backbone,
        CocoImages(args.train, args.train_images),
        CocoImages(args.test, args.test_images),
        size=args.size,
        min_images=args.min_images,
        coarse=args.coarse,
        l2=args.l2,
        seed=args.seed,
        progress=progress,
    )
    for classifier, by_variant in result["scores"].items():
        print(classifier)
        for name, value in by_variant.items():
            _print_row(name.replace("_", " "), value, result["intervals"][classifier][name])
    left = result["left_out"]
    print(
        f"{len(result['classes'])} classes, {len(result['records'])} test images; left out:"
        f" {len(left['classes'])} classes, "
        + ", ".join(
            f"{left[what]['unusable']} unusable and {len(left[what]['unreadable'])} unreadable"
            f" {what} images"
            for what in ("train", "test")
        )
    )
    return result


def _localization(args: argparse.Namespace) -> dict[str, Any]:
    from dense_cl.evaluation.find_objects import LocalizationSettings
    from dense_cl.evaluation.localization import evaluate_localization
    from dense_cl.evaluation.object_files import find_images
    from dense_cl.evaluation.results import check_writable
    from dense_cl.report.localization_page import LocalizationPage

    settings = LocalizationSettings(
        stage=args.stage,
        size=args.size,
        keys=args.keys,
        threshold=args.threshold,
        seed=args.seed,
    )
    if args.report:
        check_writable(args.report)
    page = LocalizationPage(settings.threshold)
    result = evaluate_localization(
        args.backbone,
        find_images(args.images, args.annotations, args.masks),
        settings,
        Progress("localization"),
        page if args.report else lambda record, objects, found: None,
        args.limit,
        pictures(args),
    )
    if args.report:
        page.write(result, args.report)
    for score, by_finder in result["scores"].items():
        print(_NAMES[score])
        for finder, value in by_finder.items():
            _print_row(finder.replace("_", " "), value, result["intervals"][score][finder])
    _print_left_out(result)
    return result


def _print_row(name: str, value: float, interval: Sequence[float]) -> None:
    low, high = interval
    print(f"{name:>26}  {100 * value:5.1f}  [{100 * low:.1f}, {100 * high:.1f}]")


def _print_left_out(result: dict[str, Any]) -> None:
    left = result["left_out"]
    print(
        f"{result['images']} images, {result['images_with_masks']} with masks; left out:"
        f" {left['images_without_objects']} images without objects, {len(left['unreadable'])}"
        f" unreadable, {left['objects_outside']} objects outside their image"
    )
