"""``dense-cl evaluate segmentation-fine-tuning``."""

import argparse
from pathlib import Path
from typing import Any

from dense_cl.commands.evaluate_options import (
    add_folders,
    add_mask_classes,
    class_names,
    mask_folders,
    pictures,
    print_segmentation,
)
from dense_cl.commands.run_options import add_run_options
from dense_cl.errors import DenseCLError


def add_arguments(task: argparse.ArgumentParser) -> None:
    """Declare the options."""
    task.add_argument("config", help="recipe: a file or the name of a packaged one")
    data = task.add_argument_group("data", "in place of the recipe's own data set")
    add_folders(data, {"train": False, "test": False})
    add_mask_classes(data, required=False)
    task.add_argument(
        "--fraction", type=float, metavar="PERCENT", help="use only a part of the training images"
    )
    task.add_argument("--iterations", type=int, metavar="N", help="length instead of the recipe's")
    add_run_options(task)
    task.set_defaults(evaluate=run)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Evaluate and print; the result is also written without ``--out``, to the work folder."""
    from mmengine.dist import is_main_process

    from dense_cl.engine.config import parse_options
    from dense_cl.evaluation.segmenter.evaluate import evaluate_segmentation_fine_tuning

    names = [f"{split}_{kind}" for split in ("train", "test") for kind in ("images", "masks")]
    given = [name for name in names if getattr(args, name)]
    missing = [f"--{name.replace('_', '-')}" for name in names if name not in given]
    if given and missing:
        raise DenseCLError(f"{', '.join(missing)} must be given as well: all four, or none.")
    if bool(args.num_classes or args.classes) != bool(given):
        raise DenseCLError("folders of masks, and --classes or --num-classes, belong together.")
    work_dir = Path(args.work_dir or f"work_dirs/{Path(args.config).stem}")
    args.out = args.out or str(work_dir / "result.json")
    result = evaluate_segmentation_fine_tuning(
        args.config,
        args.backbone,
        mask_folders(args, "train") if given else None,
        mask_folders(args, "test") if given else None,
        class_names(args),
        fraction=args.fraction,
        seed=args.seed,
        work_dir=work_dir,
        iterations=args.iterations,
        resume=args.resume,
        amp=args.amp,
        cfg_options=parse_options(args.cfg_options),
        launcher=args.launcher,
        pictures=pictures(args),
    )
    if is_main_process():
        print_segmentation(result)
    else:
        args.out = None
    return result
