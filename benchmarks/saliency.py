"""How well saliency providers find the foreground of photos with masks, and how fast they are.

Photos and masks are matched by name. Every provider runs with its defaults unless its row says
otherwise, in one process on one core, timed by CPU time without the decoding. The photos, in the
order of their names, are dealt into two halves: settings may be chosen on the even ones (0, 2, ...),
and are reported on the odd ones. Scores are those of ``dense_cl.evaluation.saliency_metrics``.

    python benchmarks/saliency.py --images DIR --masks DIR [--weights NAME=backbone.pth ...]
        [--stages -1 -2 -3] [--half odd] [--count N] [--only TEXT] [--json FILE]

Prints a table in markdown.
"""
# ruff: noqa: E402

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before anything that reads it is imported

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from dense_cl.evaluation.mask_folders import MaskFolders
from dense_cl.evaluation.saliency_metrics import saliency_scores
from dense_cl.registry import REGIONS
from dense_cl.sources.files import load_image

CLASSICAL: dict[str, dict[str, Any]] = {
    "SpectralResidual": dict(type="SpectralResidual"),
    "MinimumBarrier, MB": dict(type="MinimumBarrier", backgroundness=False, centre=False),
    "MinimumBarrier, no centre": dict(type="MinimumBarrier", centre=False),
    "MinimumBarrier": dict(type="MinimumBarrier"),
    "RobustBackground": dict(type="RobustBackground"),
}
SELF = ("LostSaliency", "TokenCutSaliency", "ClusterSaliency", "FeatureBackground")
HALVES = {"even": slice(0, None, 2), "odd": slice(1, None, 2), "all": slice(None)}
SIGMA = 0.25  # of the centre prior, of height and width each

Finder = Callable[[np.ndarray, int], np.ndarray]


def centre_prior(image: np.ndarray, index: int) -> np.ndarray:
    """A Gaussian around the middle."""
    y, x = ((np.arange(n) + 0.5) / n - 0.5 for n in image.shape[:2])
    return np.exp(-(y[:, None] ** 2 + x**2) / (2 * SIGMA**2))


def random_map(image: np.ndarray, index: int) -> np.ndarray:
    """Noise of one value a pixel."""
    return np.random.default_rng(index).random(image.shape[:2])


def measure(find: Finder, pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Score a finder; a map is brought to the size of its photo bilinearly, without counting."""
    find(pairs[0][0], 0)  # imports, and the weights
    maps, spent = [], 0.0
    for index, (image, _) in enumerate(pairs):
        start = time.process_time()
        found = find(image, index)
        spent += time.process_time() - start
        maps.append(found.astype(np.float32))
    scored = (
        (cv2.resize(found, truth.shape[::-1], interpolation=cv2.INTER_LINEAR), truth)
        for found, (_, truth) in zip(maps, pairs, strict=True)
    )
    return saliency_scores(scored) | {"images_per_s": len(pairs) / spent}


def providers(weights: dict[str, str], stages: list[int]) -> dict[str, dict[str, Any]]:
    """Configs by the name of their row."""
    found = dict(CLASSICAL)
    for name, file in weights.items():
        for kind in SELF:
            for stage in stages or [None]:
                chosen = {} if stage is None else {"stage": stage}
                row = f"{kind}, {name}" + (f", stage {stage}" if chosen else "")
                found[row] = dict(type=kind, weights=file, **chosen)
    return found


def main() -> None:
    """Measure all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--masks", type=Path, required=True, help="PNGs, 0 and 255")
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument("--stages", type=int, nargs="*", default=[], help="(the defaults)")
    parser.add_argument("--half", choices=HALVES, default="odd", help="which photos (odd)")
    parser.add_argument("--count", type=int, help="of the half, evenly spread (all)")
    parser.add_argument("--only", default="", help="rows that contain this")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    files = MaskFolders.find(args.images, args.masks, num_classes=256)
    half = files.pairs[HALVES[args.half]]
    chosen = np.linspace(0, len(half) - 1, min(args.count or len(half), len(half))).astype(int)
    pairs = [
        (load_image(image), load_image(mask)[..., 0] > 128)
        for image, mask in (half[number] for number in chosen)
    ]
    weights = dict(pair.split("=", 1) for pair in args.weights)
    rows: dict[str, Finder] = {"random map": random_map, "centre prior": centre_prior}
    settings: dict[str, Any] = {}
    for name, config in providers(weights, args.stages).items():
        provider = REGIONS.build(dict(config))
        settings[name], rows[name] = provider.settings(), provider.saliency
    results: dict[str, dict[str, float]] = {}
    print(f"{len(pairs)} photos ({args.half})\n", flush=True)
    print("| provider | max-F | MAE | S-measure | adaptive F | images/s |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, find in rows.items():
        if args.only not in name:
            continue
        results[name] = scores = measure(find, pairs)
        cells = [f"{scores[k]:.3f}" for k in ("max_f", "mae", "s_measure", "adaptive_f")]
        print(f"| {name} | {' | '.join(cells)} | {scores['images_per_s']:.3g} |", flush=True)
    if args.json:
        content = {
            "command": " ".join(sys.argv),
            "photos": len(pairs),
            "half": args.half,
            "centre_prior_sigma": SIGMA,
            "results": results,
            "settings": settings,
        }
        args.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
