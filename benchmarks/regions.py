"""Images per second and core of every region provider, decoding and storing included or not.

One process on one core, by CPU time, so that other work on the machine does not count. Of each
provider the first image is not counted (imports, tables). ``provider`` is the provider alone on
decoded images; ``extraction`` is what ``dense-cl regions`` does with one image: decode, hash, find,
encode.

    python benchmarks/regions.py --images DIR [--count 32] [--weights backbone.pth]

Prints JSON.
"""
# ruff: noqa: E402

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before anything that reads it is imported

import argparse
import json
import statistics
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from dense_cl.regions.cache_file import encode, pixel_digest
from dense_cl.registry import REGIONS
from dense_cl.sources import FolderSource, UnreadableImageError

PROVIDERS: dict[str, dict[str, Any]] = {
    "Grid": dict(type="Grid"),
    "SlidingWindows": dict(type="SlidingWindows"),
    "SLIC": dict(type="SLIC"),
    "Felzenszwalb": dict(type="Felzenszwalb"),
    "Felzenszwalb, 256 px": dict(type="Felzenszwalb", scale=300.0, min_size=300, max_size=256),
    "SelectiveSearch": dict(type="SelectiveSearch"),
    "SelectiveSearch, 160 px": dict(type="SelectiveSearch", max_size=160),
}


def measure(config: dict[str, Any], source: FolderSource, numbers: list[int]) -> dict[str, Any]:
    """CPU seconds of a provider by itself and within an extraction."""
    provider = REGIONS.build(dict(config))
    provider(source.load(numbers[0]), numbers[0])
    alone, whole, counts, sizes = 0.0, 0.0, [], []
    for number in numbers:
        start = time.process_time()
        image = source.load(number)
        pixels = pixel_digest(image)
        before = time.process_time()
        found = provider(image, number)
        after = time.process_time()
        row = encode(pixels, found)
        whole += time.process_time() - start
        alone += after - before
        label_map, boxes = found.label_map, found.boxes
        counts.append(len(boxes) if label_map is None else int(label_map.max()) + 1)
        sizes.append(sum(len(part) for part in row if part is not None))
    return {
        "settings": provider.settings(),
        "provider_images_per_s": round(len(numbers) / alone, 1),
        "extraction_images_per_s": round(len(numbers) / whole, 1),
        "regions_per_image": round(statistics.mean(counts), 1),
        "bytes_per_image": round(statistics.mean(sizes)),
    }


def main() -> None:
    """Measure all providers, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--count", type=int, default=32, help="images, evenly spread")
    parser.add_argument("--weights", type=Path, help="exported backbone, for Learned")
    args = parser.parse_args()

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    source = FolderSource(root=args.images)
    numbers, sizes = [], []
    for number in np.linspace(0, len(source) - 1, args.count).astype(int).tolist():
        try:
            sizes.append(source.load(number).shape)
        except UnreadableImageError:
            continue
        numbers.append(number)
    configs = dict(PROVIDERS)
    if args.weights:
        configs["Learned"] = dict(type="Learned", weights=str(args.weights))
    result = {
        "benchmark": "regions: images per second of CPU time, one process, one core",
        "count": len(numbers),
        "mean_pixels": round(statistics.mean(height * width for height, width, _ in sizes)),
        "providers": {name: measure(config, source, numbers) for name, config in configs.items()},
        "versions": {
            name: version(name) for name in ("scikit-image", "numpy", "opencv-python", "torch")
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
