"""What pretraining on photos of one kind is worth on photos of others. See docs/results.md.

    python benchmarks/transfer_table.py --voc-animals DIR --camvid DIR --grocery DIR \
        --methods random moco_v2 byol --seeds 0 1 2 --out FILE

Pretrains each method (ResNet-18; ViT-tiny for MoCo v3's transformer; same photos, crops and
epochs) on the training photos of ``voc_animals`` without labels, and measures the backbone beside a
random initialisation of the same seed. ``--tasks`` chooses what is measured:

- ``camvid``: linear segmentation of the frozen last stage, penalty chosen on val, mIoU on test;
  ``camvid_retrieval``: by the labels of similar patches; ``camvid_fine_tuning``: an FCN, trained;
- ``grocery``: fine classes by the 20 nearest neighbours and by logistic regression (penalty chosen
  on val), accuracy on test, images as they are (at most 112 px) resized to 96 px;
  ``grocery_many_shot``, ``grocery_few_shot``: by the published protocols;
- ``instruments``: alignment, uniformity and RankMe of two views of the 300 val photos of
  ``voc_animals``; ``localization``: CorLoc (LOST) and Grad-CAM's pointing game on them;
- ``detection_1``, ``_10``, ``_100``: box AP of a Faster R-CNN fine-tuned on that percentage of the
  labels of ``voc_animals``, on its test photos; ``coco128``: of a Mask R-CNN. Not frozen.
  ``--short`` trains detectors on 160 pixels in place of 256, and these and the FCN for fewer steps.

Every run has a folder under ``--work-dir`` and its own process, one at a time or ``--jobs``; what
is finished is skipped and an interrupted run goes on where it was, so the command can be killed
and repeated. ``--only densecl:1`` does one part. ``dense-cl compare`` takes the folders.
"""

import argparse
import json
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from transfer_tasks import TASKS, VIEWS_OF, Start

import dense_cl
from dense_cl.cli import main as main_command
from dense_cl.engine.config import load_config
from dense_cl.evaluation.results import write_result

RECIPES = {
    "random": None,
    "moco_v2": VIEWS_OF,
    "densecl": "densecl_resnet18_1xb32_cosine_40e_voc_animals",
    "moco_v1": "moco_v1_resnet18_1xb32_cosine_40e_voc_animals",
    "simclr": "simclr_resnet18_1xb32_cosine_40e_voc_animals",
    "simclr_v2": "simclr_v2_skresnet18_1xb32_cosine_40e_voc_animals",
    "moco_v3": "moco_v3_resnet18_1xb32_cosine_40e_voc_animals",
    "moco_v3_vit": "moco_v3_vit_tiny_1xb32_cosine_40e_voc_animals",
    "byol": "byol_resnet18_1xb32_cosine_40e_voc_animals",
    "byol_gn_ws": "byol_resnet18_gn_ws_1xb32_cosine_40e_voc_animals",
    "simsiam": "simsiam_resnet18_1xb32_cosine_40e_voc_animals",
    "barlow_twins": "barlow_twins_resnet18_1xb32_cosine_40e_voc_animals",
    "vicreg": "vicreg_resnet18_1xb32_cosine_40e_voc_animals",
    "swav": "swav_resnet18_1xb32_cosine_40e_voc_animals",
    "deepcluster_v2": "deepcluster_v2_resnet18_1xb32_cosine_40e_voc_animals",
    "densecl_geometric": "densecl_geometric_resnet18_1xb32_cosine_40e_voc_animals",
    "pixcontrast": "pixcontrast_resnet18_1xb32_cosine_40e_voc_animals",
    "pixpro": "pixpro_resnet18_1xb32_cosine_40e_voc_animals",
    "vicregl": "vicregl_resnet18_1xb32_cosine_40e_voc_animals",
    "detcon_s": "detcon_s_resnet18_1xb32_cosine_40e_voc_animals",
    "detcon_b": "detcon_b_resnet18_1xb32_cosine_40e_voc_animals",
    "slotcon": "slotcon_resnet18_1xb32_cosine_40e_voc_animals",
    "leopart": "leopart_resnet18_1xb32_cosine_40e_voc_animals",
    "resim": "resim_resnet18_1xb32_cosine_40e_voc_animals",
    "soco": "soco_resnet18_1xb32_cosine_40e_voc_animals",
    "orl": "orl_resnet18_1xb32_cosine_40e_voc_animals",
    "cast": "cast_resnet18_1xb32_cosine_40e_voc_animals",
    "cast_crops": "cast_crops_resnet18_1xb32_cosine_40e_voc_animals",
    "cast_objects": "cast_objects_resnet18_1xb32_cosine_40e_voc_animals",
    "cast_attention": "cast_attention_resnet18_1xb32_cosine_40e_voc_animals",
}
# Recipes whose regions, or salient objects, are found first, once for all seeds.
WITH_REGIONS = ("detcon_s", "detcon_b", "soco", "orl")
WITH_SALIENCY = ("cast", "cast_crops", "cast_objects", "cast_attention")
# Recipes that learn from pairs mined with another method, whose run of the same seed comes first.
MINED_WITH = {"orl": "byol"}
# Recipes with crops of several sizes, which get the two views of the others here.
MULTI_CROP = ("swav", "deepcluster_v2")
# Backbones that the detector's configuration does not describe.
DETECTORS = ("detection_1", "detection_10", "detection_100", "coco128")
NOT_DETECTORS = ("simclr_v2", "moco_v3_vit", "byol_gn_ws")
DATA = ("voc_animals", "camvid", "grocery", "coco128")
DEFAULT_TASKS = ["camvid", "grocery", "instruments"]
# Column of the table: file of the run, key in it, factor.
COLUMNS = {
    "camvid_miou": ("camvid", "mean_iou", 100),
    "grocery_knn": ("grocery", "knn", 100),
    "grocery_linear": ("grocery", "linear", 100),
    "corloc": ("localization", "corloc", 100),
    "pointing": ("localization", "pointing", 100),
    "detection_ap": ("detection_10", "bbox_mAP", 100),
    "alignment": ("instruments", "alignment", 1),
    "uniformity": ("instruments", "uniformity", 1),
    "rankme": ("instruments", "rankme", 1),
    "images_per_second": ("pretraining", "images_per_second", 1),
    "step_processor_seconds": ("pretraining", "step_processor_seconds", 1),
    "peak_memory_mb": ("pretraining", "peak_memory_mb", 1),
}


def main() -> None:
    """Run what is not finished, then print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voc-animals", type=Path, required=True, metavar="DIR")
    parser.add_argument("--camvid", type=Path, metavar="DIR")
    parser.add_argument("--grocery", type=Path, metavar="DIR")
    parser.add_argument("--coco128", type=Path, metavar="DIR")
    parser.add_argument("--tasks", nargs="+", default=DEFAULT_TASKS, choices=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--only", metavar="METHOD:SEED", help="do this part alone")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="parts at a time (1)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument(
        "--short",
        action="store_true",
        help="train detectors and FCN for fewer steps",
    )
    parser.add_argument("--work-dir", type=Path, help="(work_dirs/transfer_table, or ..._short)")
    parser.add_argument("--out", type=Path, metavar="JSON")
    args = parser.parse_args()
    if args.work_dir is None:
        args.work_dir = Path(f"work_dirs/transfer_table{'_short' if args.short else ''}")
    for task in args.tasks:
        if getattr(args, data_of(task)) is None:
            parser.error(f"task {task} needs --{data_of(task).replace('_', '-')} DIR")
    if args.only:
        method, _, seed = args.only.partition(":")
        if method not in RECIPES or not seed.isdigit():
            parser.error(f"--only {args.only}: write METHOD:SEED, METHOD of {', '.join(RECIPES)}")
        run_part(method, int(seed), args)
        return
    for method in args.methods:
        folders = [folder_of(method, seed, args) for seed in args.seeds]
        if not all((folder / "pretraining.json").is_file() for folder in folders):
            find_regions(method, args)  # before seeds beside each other would
    for mined in (False, True):  # what pairs are mined with comes first
        run_parts([m for m in args.methods if (m in MINED_WITH) == mined], args)
    rows = {
        method: {str(seed): read(folder_of(method, seed, args)) for seed in args.seeds}
        for method in args.methods
    }
    table = {method: summarise(list(by_seed.values())) for method, by_seed in rows.items()}
    print(as_text(table))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        result = {"epochs": args.epochs, "seeds": args.seeds, "summary": table, "runs": rows}
        args.out.write_text(json.dumps(result, indent=2) + "\n")


def run_parts(methods: list[str], args: argparse.Namespace) -> None:
    """Run parts in processes of their own, for their peak memory; what fails, after all others."""
    parts = [f"{method}:{seed}" for seed in args.seeds for method in methods]
    with ThreadPoolExecutor(args.jobs) as pool:
        command = [sys.executable, *sys.argv, "--only"]
        codes = pool.map(lambda part: subprocess.run([*command, part]).returncode, parts)
        failed = [part for part, code in zip(parts, codes, strict=True) if code]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; the same command does what is missing")


def folder_of(method: str, seed: int, args: argparse.Namespace) -> Path:
    """Return the folder of a run."""
    return args.work_dir / (
        f"{method}_seed{seed}" if not RECIPES[method] else f"{method}_{args.epochs}e_seed{seed}"
    )


def run_part(method: str, seed: int, args: argparse.Namespace) -> None:
    """Pretrain one method with one seed and measure it, as far as that is not done."""
    folder, recipe = folder_of(method, seed, args), RECIPES[method]
    folder.mkdir(parents=True, exist_ok=True)
    if recipe:
        keep(folder, "pretraining", lambda: pretrain(method, seed, args, folder))
    data = {name: getattr(args, name) for name in DATA}
    backbone = str(folder / "backbone.pth") if recipe else "random"
    start = Start(backbone, seed, folder, data, command(), args.short)
    for task in args.tasks:
        if not (task in DETECTORS and method in NOT_DETECTORS):
            keep(folder, task, lambda task=task: TASKS[task](start))  # type: ignore[misc]


def command() -> str:
    """Return what makes the whole table, for the results: this command without ``--only``."""
    words = [word for word in sys.argv if not word.startswith("--only=")]
    if "--only" in words:
        at = words.index("--only")
        del words[at : at + 2]
    return shlex.join(["python", *words])


def data_of(task: str) -> str:
    """Return the name of the data set of a task."""
    return next((name for name in DATA if task.startswith(name)), DATA[0])


def keep(folder: Path, name: str, measure: Callable[[], dict[str, Any]]) -> None:
    """Write the result to ``<folder>/<name>.json`` unless it is there.

    Results that can be compared are of the task ``name``: one task may have several data sets.
    """
    file = folder / f"{name}.json"
    if not file.is_file():
        print(f"== {folder.name}: {name}", flush=True)
        result = measure() | {"command": command()}
        write_result(result | {"task": name} if "task" in result else result, file)


def pretrain(method: str, seed: int, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Pretrain on the training photos only; their labels are not read."""
    recipe = RECIPES[method]
    assert recipe is not None
    options: dict[str, Any] = {"randomness.seed": seed, "train_cfg.max_epochs": args.epochs}
    if method in MULTI_CROP:
        views = load_config(VIEWS_OF).train_dataloader.dataset.views
        options |= {"train_dataloader.dataset.views": views, "model.objectives.0.num_views": 2}
    options |= find_regions(method, args)
    images, annotations = photos_of(args)
    photos = ["--data", images, "--annotations", annotations]
    if method in MINED_WITH:
        run_part(MINED_WITH[method], seed, args)
        first = folder_of(MINED_WITH[method], seed, args)
        checkpoint = first / (first / "last_checkpoint").read_text()
        run_command("export", checkpoint, "--head-layers", 2, "--out", folder / "first_stage")
        pairs, regions = folder / "pairs.npz", "train_dataloader.dataset.regions.file"
        mining = ["--backbone", folder / "first_stage.pth", "--cfg-options"]
        mining.append(f"{regions}={options[regions]}")
        run_command("mine", recipe, "--out", pairs, *photos, *mining)
        options["train_dataloader.dataset.pairs"] = str(pairs)
    before = time.process_time()
    dense_cl.pretrain(
        recipe,
        data=images,
        annotations=annotations,
        work_dir=folder,
        resume="auto",
        cfg_options=options,
    )
    summary = json.loads((folder / "summary.json").read_text())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    # Of this process, so without its data loader's; hardly changed by other jobs on the machine.
    spent = time.process_time() - before
    steps = summary["iterations"] - summary["resumed_at"]
    per_step = {"step_processor_seconds": round(spent / steps, 4)} if steps else {}
    return summary | {"peak_memory_mb": round(peak)} | per_step


def find_regions(method: str, args: argparse.Namespace) -> dict[str, str]:
    """Find the regions or salient objects that a recipe wants; return options that name them."""
    images, annotations = photos_of(args)
    options = {}
    for kind, methods in (("regions", WITH_REGIONS), ("saliency", WITH_SALIENCY)):
        if method in methods:
            file = args.work_dir / f"{method}.{kind}"
            photos = ["--data", images, "--annotations", annotations]
            run_command(kind, RECIPES[method], "--out", file, *photos)
            options[f"train_dataloader.dataset.{kind}.file"] = str(file)
    return options


def photos_of(args: argparse.Namespace) -> tuple[Path, Path]:
    """Return the photos that are trained on, and the file that lists them."""
    return args.voc_animals / "images", args.voc_animals / "annotations" / "train.json"


def run_command(*words: Any) -> None:
    """Run a command of ``dense-cl``; what it writes it goes on with when it is run again."""
    if main_command([str(word) for word in words]):
        sys.exit(f"dense-cl {words[0]} {words[1]} failed")


def read(folder: Path) -> dict[str, float]:
    """Return the columns of one run, as far as it has them."""
    found = {}
    for column, (name, key, factor) in COLUMNS.items():
        file = folder / f"{name}.json"
        result = json.loads(file.read_text()) if file.is_file() else {}
        if key in result:
            found[column] = factor * result[key]
    return found


def summarise(runs: list[dict[str, float]]) -> dict[str, dict[str, float | None]]:
    """Return mean and standard deviation over seeds by column."""
    return {
        column: {
            "mean": statistics.fmean(run[column] for run in runs),
            # Of the sample, n - 1: these are few seeds out of many.
            "std": statistics.stdev(run[column] for run in runs) if len(runs) > 1 else None,
        }
        for column in COLUMNS
        if all(column in run for run in runs)
    }


def as_text(table: dict[str, dict[str, dict[str, float | None]]]) -> str:
    """Return the summary as a Markdown table."""
    columns = [c for c in COLUMNS if any(c in row for row in table.values())]
    lines = ["| method | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for method, row in table.items():
        cells = [cell(row[c]) if c in row else "–" for c in columns]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(value: dict[str, float | None]) -> str:
    """Return mean ± standard deviation to about three digits."""
    mean, std = value["mean"], value["std"]
    assert mean is not None
    digits = 2 if abs(mean) < 10 else 1 if abs(mean) < 100 else 0
    return f"{mean:.{digits}f}" + ("" if std is None else f" ± {std:.{digits}f}")


if __name__ == "__main__":
    main()
