"""``dense-cl finetune``: a detector from an exported backbone and a COCO-format label file."""

import argparse
import json

from dense_cl.commands.evaluate_options import seed
from dense_cl.commands.run_options import add_run_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("config", help="recipe: a file or the name of a packaged one")
    parser.add_argument(
        "--backbone",
        required=True,
        metavar="FILE",
        help="exported backbone, or 'random', or 'torchvision' (ImageNet weights from the cache)",
    )
    parser.add_argument(
        "--backbone-only",
        action="store_true",
        help="leave out the pretrained neck and box head that some files bring",
    )
    parser.add_argument(
        "--freeze-backbone",
        action="store_true",
        help="leave the backbone as it is, norm statistics included; train neck and heads",
    )
    parser.add_argument("--train", metavar="JSON", help="COCO-format labels to train on")
    parser.add_argument(
        "--val", metavar="JSON", help="labels to evaluate on (default: 20 %% of --train, held out)"
    )
    parser.add_argument("--train-images", metavar="DIR", help="where the file names start from")
    parser.add_argument("--val-images", metavar="DIR", help="the same for --val")
    parser.add_argument(
        "--fraction", type=float, metavar="PERCENT", help="use only a part of the training images"
    )
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--epochs", type=int, metavar="N", help="length instead of the recipe's")
    add_run_options(parser)


def run(args: argparse.Namespace) -> int:
    """Fine-tune and print the result."""
    from mmengine.dist import is_main_process

    from dense_cl.engine.config import parse_options
    from dense_cl.transfer.finetune import finetune

    metrics = finetune(
        args.config,
        args.backbone,
        train=args.train,
        val=args.val,
        train_images=args.train_images,
        val_images=args.val_images,
        fraction=args.fraction,
        seed=args.seed,
        work_dir=args.work_dir,
        epochs=args.epochs,
        resume=args.resume,
        amp=args.amp,
        cfg_options=parse_options(args.cfg_options),
        launcher=args.launcher,
        backbone_only=args.backbone_only,
        freeze_backbone=args.freeze_backbone,
        command=args.command_line,
    )
    if is_main_process():
        print(json.dumps(metrics, indent=2))
    return 0
