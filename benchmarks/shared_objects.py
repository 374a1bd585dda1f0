"""How often two crops of a photo show the same annotated object, by crop policy.

Boxes of a COCO JSON say what the objects are; nothing but this count looks at them. A crop shows
an object if it holds at least a given part of its box (the columns); a pair shares an object if
both of its crops show the same one. A second count, ``seen`` in the JSON, also takes a crop as
showing an object that fills that part of the crop, for objects larger than any crop.

    python benchmarks/shared_objects.py --annotations train.json --images DIR \
        [--scale 0.2 1.0] [--draws 16] [--provider NAME=JSON ...] [--out FILE.json]

Every policy draws from the same range of areas, but a constraint prefers large boxes. So each
policy's boxes are also counted when they are moved to random places (the third column of each
part): what the areas alone bring. The standard error is over photos, each with the mean of its
draws. "object boxes" are policies that are given the annotated boxes as components:
what perfect localisation would bring. Prints Markdown, writes JSON.
"""

import argparse
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from dense_cl.regions.provider import RegionProvider
from dense_cl.regions.providers.coco import CocoRegions
from dense_cl.registry import CROPS, REGIONS
from dense_cl.sources import CocoSource
from dense_cl.views.batch import CONSTRUCTED, UNCONSTRAINED
from dense_cl.views.crops import Crop
from dense_cl.views.randomness import random_from

PARTS = (0.25, 0.5)  # of a box that a crop has to hold
PLAIN: dict[str, dict[str, Any]] = {
    "plain": dict(type="RandomResizedCrop"),
    "overlap of half": dict(type="MinOverlapCrop"),
}
CAST: dict[str, dict[str, Any]] = {
    "CAST, each alone": {},
    "CAST, within the first": dict(within_first=True),
    "component by area": dict(component="area"),
    "component, uniform": dict(component="uniform"),
    "largest component": dict(component="largest"),
    "CAST, each alone, phi 1": dict(min_cover=1.0),
    "component by area, phi 0.5": dict(component="area", min_cover=0.5),
    "component by area, phi 1": dict(component="area", min_cover=1.0),
    "largest component, phi 1": dict(component="largest", min_cover=1.0),
}
PROVIDERS: dict[str, dict[str, Any]] = {
    "spectral residual": dict(type="SpectralResidual"),
    "minimum barrier": dict(type="MinimumBarrier"),
    "robust background": dict(type="RobustBackground"),
}


def painted(boxes_N4: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw boxes as a label map, smaller ones in front."""
    label_map = np.full(size, -1, np.int16)
    areas = np.prod(boxes_N4[:, 2:] - boxes_N4[:, :2], axis=1)
    for number in np.argsort(-areas):
        x1, y1, x2, y2 = boxes_N4[number].round().astype(int)
        label_map[y1:y2, x1:x2] = number
    return label_map


def shown_by_both(crops_NV4: np.ndarray, boxes_M4: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest part of any box that all V crops of a pair hold, and that of the box or of the crop.

    Returns:
        Both (N,), of N pairs of crops and the M boxes of their photo.
    """
    low = np.maximum(crops_NV4[:, :, None, :2], boxes_M4[:, :2])
    high = np.minimum(crops_NV4[:, :, None, 2:], boxes_M4[:, 2:])
    common_NVM = np.prod((high - low).clip(min=0), axis=3)
    of_box = common_NVM / np.prod(boxes_M4[:, 2:] - boxes_M4[:, :2], axis=1).clip(min=1e-9)
    of_crop = common_NVM / np.prod(crops_NV4[..., 2:] - crops_NV4[..., :2], axis=2)[..., None]
    either = np.maximum(of_box, of_crop)
    return of_box.min(axis=1).max(axis=1), either.min(axis=1).max(axis=1)


class Tally:
    """What one policy's pairs share, photo by photo."""

    def __init__(self) -> None:
        self.shared: list[list[float]] = []
        self.seen: list[list[float]] = []
        self.moved: list[list[float]] = []
        self.areas: list[float] = []
        self.tries: list[int | None] = []

    def add(self, pairs: list[list[Crop]], boxes: np.ndarray, size: tuple[int, int]) -> None:
        """Count the pairs of a photo."""
        crops_NV4 = np.array([[crop.box for crop in pair] for pair in pairs], float)
        sides_NV2 = crops_NV4[..., 2:] - crops_NV4[..., :2]
        of_box, either = shown_by_both(crops_NV4, boxes)
        self.shared.append([(of_box >= part).mean() for part in PARTS])
        self.seen.append([(either >= part).mean() for part in PARTS])
        self.areas.append(np.prod(sides_NV2, axis=2).mean() / (size[0] * size[1]))
        self.tries += [crop.tries for pair in pairs for crop in pair]
        rng = np.random.default_rng(len(self.shared))
        room = np.array(size[::-1]) - sides_NV2
        corner = np.floor(rng.random(room.shape) * (room + 1))
        moved, _ = shown_by_both(np.concatenate([corner, corner + sides_NV2], axis=2), boxes)
        self.moved.append([(moved >= part).mean() for part in PARTS])

    def result(self) -> dict[str, Any]:
        """Means over photos, and standard errors."""
        shared, seen = np.array(self.shared), np.array(self.seen)
        error = shared.std(axis=0, ddof=1) / np.sqrt(len(shared))
        rounded = {
            "shared": shared.mean(axis=0),
            "standard_error": error,
            "shared_if_moved": np.mean(self.moved, axis=0),
            "seen": seen.mean(axis=0),
        }
        result: dict[str, Any] = {k: np.round(v, 4).tolist() for k, v in rounded.items()}
        result["mean_area"] = round(float(np.mean(self.areas)), 3)
        if self.tries[0] is not None:
            tries = np.array(self.tries)
            kinds = {
                "first_try": tries == 1,
                "retry": tries > 1,
                "constructed": tries == CONSTRUCTED,
                "unconstrained": tries == UNCONSTRAINED,
            }
            result["rates"] = {name: round(float(kind.mean()), 4) for name, kind in kinds.items()}
        return result


def measure(
    source: CocoSource,
    objects: CocoRegions,
    providers: Mapping[str, RegionProvider],
    scale: tuple[float, float],
    draws: int,
    photos: int | None,
) -> dict[str, Any]:
    """Count the pairs of every policy on all photos that have an annotated object."""
    kinds = {(name, "none"): CROPS.build(dict(c, scale=scale)) for name, c in PLAIN.items()}
    for provider in [*providers, "object boxes"]:
        kinds |= {
            (name, provider): CROPS.build(dict(c, type="SaliencyCrop", scale=scale))
            for name, c in CAST.items()
        }
    tallies = {kind: Tally() for kind in kinds}
    count = 0
    chosen = np.arange(len(source))
    if photos is not None:
        chosen = np.linspace(0, len(source) - 1, photos).round().astype(int)
    for index in chosen.tolist():
        image = source.load(index)
        size = (image.shape[0], image.shape[1])
        boxes = objects(image, index).boxes
        assert boxes is not None
        if not len(boxes):
            continue
        count += 1
        maps = {name: provider(image, index).label_map for name, provider in providers.items()}
        maps |= {"none": None, "object boxes": painted(boxes, size)}
        for kind, policy in kinds.items():
            rng: random.Random = random_from(0, index)
            pairs = [policy.sample(size, 2, rng, maps[kind[1]]) for _ in range(draws)]
            tallies[kind].add(pairs, boxes, size)
    rows = [
        {"policy": policy, "saliency": provider, **tallies[policy, provider].result()}
        for policy, provider in kinds
    ]
    for row in rows:
        plain = rows[0]["shared"]
        row["times_plain"] = [round(a / b, 3) for a, b in zip(row["shared"], plain, strict=True)]
    return {"scale": scale, "draws": draws, "photos": count, "parts": PARTS, "rows": rows}


def markdown(result: Mapping[str, Any]) -> str:
    """Write the table."""
    names = ("shared at", "times plain at", "if moved at")
    columns = [f"{name} {part}" for part in PARTS for name in names]
    lines = [
        f"Areas {result['scale']}, {result['photos']} photos, {result['draws']} pairs of each.\n",
        "| policy | saliency | " + " | ".join(columns) + " | mean area | constructed |",
        "|" + "---|" * (len(columns) + 4),
    ]
    for row in result["rows"]:
        keys = ("shared", "standard_error", "times_plain", "shared_if_moved")
        found = zip(*(row[key] for key in keys), strict=True)
        cells = [
            cell for s, e, t, m in found for cell in (f"{s:.3f} ± {e:.3f}", f"{t:.2f}", f"{m:.3f}")
        ]
        made = f"{row['rates']['constructed']:.3f}" if "rates" in row else ""
        lines.append(
            f"| {row['policy']} | {row['saliency']} | {' | '.join(cells)} |"
            f" {row['mean_area']:.2f} | {made} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print Markdown, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotations", required=True, help="COCO .json with boxes")
    parser.add_argument("--images", required=True, help="folder of the photos")
    parser.add_argument("--scale", type=float, nargs=2, default=(0.2, 1.0), help="areas of crops")
    parser.add_argument("--draws", type=int, default=16, help="pairs of each photo")
    parser.add_argument("--photos", type=int, help="this many, evenly spread (all)")
    parser.add_argument(
        "--provider", nargs="+", default=[], metavar="NAME=JSON",
        help="NAME='{\"type\": ...}', instead of the classical ones",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="JSON file")
    args = parser.parse_args()

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    given = dict(item.split("=", 1) for item in args.provider)
    configs = {name: json.loads(text) for name, text in given.items()} or PROVIDERS
    source = CocoSource(args.annotations, args.images)
    objects = CocoRegions(args.annotations, masks=False)
    objects.bind(source)
    providers = {name: REGIONS.build(dict(config)) for name, config in configs.items()}
    result = measure(source, objects, providers, tuple(args.scale), args.draws, args.photos)
    print(markdown(result))
    if args.out:
        result["providers"] = {name: p.settings() for name, p in providers.items()}
        args.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
