"""Does pretraining on photos of one kind help on scenes of another? See docs/results.md.

    python benchmarks/camvid_transfer.py --voc-animals DIR --camvid DIR --seeds 0 1 2 --out FILE

Pretrains MoCo-v2 and DenseCL (ResNet-18, same crops, same epochs) on the training photos of
``voc_animals``, freezes each backbone, fits a linear segmentation probe on CamVid train, chooses
its penalty on val and reports mIoU on test, beside a random initialisation of the same seed.

Every run has a folder under ``--work-dir``; finished ones are skipped and an interrupted one goes
on where it was, so the command can be killed and repeated. ``--only densecl:1`` runs one part.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import dense_cl
from dense_cl.evaluation.mask_folders import MaskFolders
from dense_cl.evaluation.segmentation import evaluate_segmentation

RECIPES = {
    "random": None,
    "moco_v2": "moco_v2_resnet18_1xb32_cosine_40e_voc_animals",
    "densecl": "densecl_resnet18_1xb32_cosine_40e_voc_animals",
}
VOID = 11
SIZE = (240, 320)
PENALTIES = (1e-2, 1e-3, 1e-4, 1e-5)


def main() -> None:
    """Run what is not finished, then print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voc-animals", type=Path, required=True, metavar="DIR")
    parser.add_argument("--camvid", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--only", metavar="METHOD:SEED", help="run this part alone")
    parser.add_argument("--epochs", type=int, help="instead of the recipes' 40")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/camvid_transfer"))
    parser.add_argument("--out", type=Path, metavar="JSON")
    args = parser.parse_args()

    parts = [(method, seed) for method in args.methods for seed in args.seeds]
    if args.only:
        method, _, seed = args.only.partition(":")
        if method not in RECIPES or not seed.isdigit():
            parser.error(f"--only {args.only}: write METHOD:SEED, METHOD of {', '.join(RECIPES)}")
        parts = [(method, int(seed))]
    results = [run_part(method, seed, args) for method, seed in parts]
    table = summarise(results)
    print(as_text(table))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({"summary": table, "runs": results}, indent=2) + "\n")


def run_part(method: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Pretrain and probe one method with one seed, or read the result if it is there."""
    epochs = f"_{args.epochs}e" if args.epochs else ""
    folder = args.work_dir / f"{method}{epochs if RECIPES[method] else ''}_seed{seed}"
    done = folder / "probe.json"
    if done.is_file():
        return json.loads(done.read_text())
    print(f"== {method}, seed {seed} -> {folder}", flush=True)
    recipe, seconds, backbone = RECIPES[method], 0.0, "random"
    if recipe:
        backbone = str(folder / "backbone.pth")
        if not Path(backbone).is_file():
            start = time.monotonic()
            pretrain(recipe, seed, args, folder)
            seconds = time.monotonic() - start
    result = probe(backbone, seed, args.camvid)
    result |= {"method": method, "recipe": recipe, "pretraining_seconds": round(seconds)}
    folder.mkdir(parents=True, exist_ok=True)
    done.write_text(json.dumps(result, indent=2) + "\n")
    return result


def pretrain(recipe: str, seed: int, args: argparse.Namespace, folder: Path) -> None:
    """Pretrain on the training photos only; their labels are not read."""
    options: dict[str, Any] = {"randomness.seed": seed}
    if args.epochs:
        options["train_cfg.max_epochs"] = args.epochs
    dense_cl.pretrain(
        recipe,
        data=args.voc_animals / "images",
        annotations=args.voc_animals / "annotations" / "train.json",
        work_dir=folder,
        resume="auto",
        cfg_options=options,
    )


def probe(backbone: str, seed: int, camvid: Path) -> dict[str, Any]:
    """Frozen last stage, linear classifier, penalty chosen on val, scored once on test."""
    classes = (camvid / "classes.txt").read_text().split()
    splits = {
        split: MaskFolders.find(
            camvid / "images" / split, camvid / "masks" / split, len(classes), [VOID]
        )
        for split in ("train", "val", "test")
    }
    return evaluate_segmentation(
        backbone,
        splits["train"],
        splits["test"],
        splits["val"],
        size=SIZE,
        l2=PENALTIES,
        seed=seed,
        classes=classes,
        progress=print,
    )


def summarise(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return mean and standard deviation over seeds of the test mIoU (per cent) by method."""
    table: dict[str, dict[str, Any]] = {}
    for method in dict.fromkeys(result["method"] for result in results):
        runs = [result for result in results if result["method"] == method]
        scores = [100 * run["mean_iou"] for run in runs]
        table[method] = {
            "seeds": [run["seed"] for run in runs],
            "test_miou": scores,
            "mean": statistics.fmean(scores),
            # Of the sample, n - 1: these are few seeds out of many.
            "std": statistics.stdev(scores) if len(scores) > 1 else None,
            "l2": [run["fit"]["l2"] for run in runs],
        }
    return table


def as_text(table: dict[str, dict[str, Any]]) -> str:
    """Return the summary as a table."""
    lines = [f"{'method':<10} {'mIoU (test)':>14}   by seed"]
    for method, row in table.items():
        spread = "" if row["std"] is None else f" ± {row['std']:.1f}"
        scores = ", ".join(f"{score:.1f}" for score in row["test_miou"])
        lines.append(f"{method:<10} {row['mean']:>8.1f}{spread:<6}   {scores}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
