"""Does the measure of invariance find what training put there? A known answer on synthetic scenes.

    python benchmarks/invariance_known_answer.py --seeds 0 1 2 --out FILE

Pretrains MoCo v2 (ResNet-18, 96 px) on rendered scenes in three ways that differ in the views only:
crops and colour jitter (``both``), without jitter and grayscale (``no_jitter``), and without crops
(``no_crop``). They are the recipe's, but hues are shifted all the way round: the light of the
scenes goes from blue to orange, which the recipe's tenth does not reach (``--hue 0.1``; what comes
of that is in docs/invariance.md).

What is to be expected: ``both`` is more invariant to the colour of the light than ``no_jitter``,
and to occlusion than ``no_crop``; on shuffled sets they do not differ. Scenes that are measured are
never trained on; weights before training are measured beside.

Each run has a folder under ``--work-dir``; what is finished is skipped and an interrupted run goes
on where it was, so the command can be killed and repeated.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import dense_cl
from dense_cl.cli import main as main_command
from dense_cl.engine.config import load_config
from dense_cl.evaluation.statistics import Difference, Runs, difference, holm, verdict
from dense_cl.sources.synthetic import generate_scenes

RECIPE = "moco_v2_resnet18_1xb32_cosine_40e_voc_animals"
COLOUR = ("ColorJitter", "ToGray")
# More invariant, less invariant, to what.
EXPECTED = (
    ("both", "no_jitter", "illumination_colour"),
    ("both", "no_crop", "occlusion"),
)
# Of shuffled sets only the cosine has the same expectation, 0, for all backbones: the best of
# many independent neurons fire more often by chance than those of few.
MEASURES = {"real": ("cosine", "firing25"), "permuted": ("cosine",)}


def main() -> None:
    """Train what is not trained, measure it, compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--scenes", type=int, default=1024, metavar="N", help="to train on")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--sets", type=int, default=100, metavar="N", help="scenes to measure on")
    parser.add_argument("--hue", type=float, default=0.5, help="largest shift, in turns (0.5)")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/invariance"))
    parser.add_argument("--out", type=Path, metavar="JSON")
    args = parser.parse_args()
    data = args.work_dir / "scenes"
    generate_scenes(data, {"train": args.scenes}, size=(96, 96))
    results: dict[str, dict[int, dict[str, Any]]] = {}
    for seed in args.seeds:
        for arm in ("both", "no_jitter", "no_crop"):
            results.setdefault(arm, {})[seed] = measured(arm, seed, data / "train", args)
    rows = compared(results)
    for row in rows:
        print(f"{row['sets']:>9} {row['score']:28} {row['verdict']}")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        scores = {
            arm: {seed: result["scores"] for seed, result in by_seed.items()}
            for arm, by_seed in results.items()
        }
        nulls = {
            arm: {
                seed: {name: null["scores"] for name, null in result["nulls"].items()}
                for seed, result in by_seed.items()
            }
            for arm, by_seed in results.items()
        }
        settings = {name: str(value) for name, value in vars(args).items()}
        content = {"settings": settings, "comparisons": rows, "scores": scores, "nulls": nulls}
        args.out.write_text(json.dumps(content, indent=2) + "\n")


def measured(arm: str, seed: int, data: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Return the invariance of one run; train and measure it if that is not done."""
    hue = "" if arm == "no_jitter" else f"_hue{args.hue:g}"
    folder = args.work_dir / f"{arm}{hue}_{args.epochs}e_seed{seed}"
    file = folder / f"invariance_{args.sets}.json"
    if not file.is_file():
        print(f"== {folder.name}", flush=True)
        dense_cl.pretrain(
            RECIPE, data=data, work_dir=folder, resume="auto", cfg_options=options(arm, seed, args)
        )
        factors = sorted({factor for _, _, factor in EXPECTED})
        command = ["evaluate", "invariance", "--backbone", folder / "backbone.pth", "--factors"]
        command += [*factors, "--scenes", args.sets, "--size", 96, "--seed", seed, "--out", file]
        if main_command([str(word) for word in command]):
            raise SystemExit(f"{folder.name} could not be measured")
    return json.loads(file.read_text())


def options(arm: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Return the changes to the recipe."""
    (group,) = load_config(RECIPE).train_dataloader.dataset.to_dict()["views"]
    if arm == "no_jitter":
        group["transforms"] = [t for t in group["transforms"] if t["type"] not in COLOUR]
    for transform in group["transforms"]:
        if transform["type"] == "ColorJitter":
            transform["hue"] = args.hue
    if arm == "no_crop":
        group["crop"] |= {"scale": (1.0, 1.0), "ratio": (1.0, 1.0)}
    return {
        "randomness.seed": seed,
        "train_cfg.max_epochs": args.epochs,
        "train_dataloader.dataset.views": [group],
    }


def compared(results: dict[str, dict[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Test what is expected, corrected for being several questions, and the same of the nulls."""
    rows: list[dict[str, Any]] = []
    for kind, measures in MEASURES.items():
        found: list[tuple[str, str, str, Difference]] = []
        for first, second, factor in EXPECTED:
            for measure in measures:
                name = f"{factor}_{measure}"
                pair = [runs_of(results[arm], name, kind) for arm in (first, second)]
                found.append((first, second, name, difference(*pair)))
        corrected = holm([each.estimate.p_value() for *_, each in found])
        for (first, second, name, each), p_value in zip(found, corrected, strict=True):
            rows.append(
                {
                    "sets": kind,
                    "score": name,
                    "first": first,
                    "second": second,
                    "difference": each.estimate.value,
                    "interval": each.estimate.interval(),
                    "p_value": p_value,
                    "verdict": verdict(first, second, each, p_value),
                }
            )
    return rows


def runs_of(by_seed: dict[int, dict[str, Any]], name: str, kind: str) -> Runs:
    """Collect one score of all seeds, by set."""
    chosen = [r if kind == "real" else r["nulls"][kind] for r in by_seed.values()]
    values = [[record[name] for record in result["records"]] for result in chosen]
    return Runs.of_values(tuple(by_seed), np.array(values))


if __name__ == "__main__":
    main()
