"""Images per second and core of the two-view MoCo v2 input pipeline, against lightly's.

Both read the same JPEG files, make the same two 224-pixel views of each (random resized crop,
colour jitter, greyscale, blur, flip) and collate batches, on one core of this machine in turns,
so that whatever else the machine does hits both. lightly's views come out normalised float32;
ours uint8, as the device normalises them.

    python benchmarks/input_pipeline.py [--images DIR]

Needs ``pip install "lightly>=1.6,<1.7"`` for the comparison; prints JSON.
"""
# ruff: noqa: E402

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before anything that reads it is imported

import argparse
import json
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from torch.utils.data import DataLoader, Dataset

from dense_cl.paths import configs_dir
from dense_cl.sources import FolderSource
from dense_cl.views.collate import collate_views
from dense_cl.views.dataset import ViewDataset

BATCH = 16


def write_photos(folder: Path, count: int, size: tuple[int, int] = (480, 640)) -> None:
    """Write JPEGs whose spectrum falls off like that of photos, with edges and mild noise.

    About 150 kB each, since decoding time goes with file size and COCO's photos of this size
    have 150 to 180 kB.
    """
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    falloff = 1 / np.maximum(frequency, 1 / width) ** 1.2
    for number in range(count):
        rng = np.random.default_rng(number)
        layers = []
        for contrast in (55, 18, 18):  # luminance varies more than colour
            spectrum = np.fft.rfft2(rng.standard_normal(size)) * falloff
            layer = np.fft.irfft2(spectrum, s=size)
            layers.append(layer / layer.std() * contrast + 128)
        image = np.clip(np.stack(layers, axis=-1), 0, 255).astype(np.uint8)
        image = cv2.cvtColor(image, cv2.COLOR_YCrCb2BGR)
        for _ in range(12):
            centre = (int(rng.integers(width)), int(rng.integers(height)))
            colour = tuple(int(c) for c in rng.integers(0, 256, 3))
            cv2.circle(image, centre, int(rng.integers(10, 70)), colour, -1, cv2.LINE_AA)
        noise = rng.normal(0, 6, image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:03d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 90])


def our_dataset(folder: Path) -> Dataset:
    """The pipeline of ``configs/_base_/views/moco_v2_224.py``."""
    recipe = Config.fromfile(configs_dir() / "_base_/views/moco_v2_224.py")
    return ViewDataset(FolderSource(root=str(folder)), recipe.train_dataloader.dataset.views)


def lightly_dataset(folder: Path) -> Dataset:
    """lightly's data set with its MoCo v2 transform, at its defaults."""
    warnings.filterwarnings("ignore")
    from lightly.data import LightlyDataset
    from lightly.transforms import MoCoV2Transform

    return LightlyDataset(str(folder), transform=MoCoV2Transform(input_size=224))


def images_per_second(dataset: Dataset, collate: Callable | None, epoch: int) -> float:
    """Run once over the data set in this process, by CPU time: other work must not count."""
    torch.manual_seed(epoch)
    keys = [(epoch, i) for i in range(len(dataset))] if collate else range(len(dataset))
    loader = DataLoader(dataset, batch_size=BATCH, sampler=keys, collate_fn=collate)
    start = time.process_time()
    for _ in loader:
        pass
    return len(dataset) / (time.process_time() - start)


def summary(rates: list[float]) -> dict[str, float]:
    """Median and range."""
    return {
        "images_per_s": round(statistics.median(rates), 1),
        "min": round(min(rates), 1),
        "max": round(max(rates), 1),
    }


def main() -> None:
    """Measure in turns, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder of JPEGs instead of generated ones")
    parser.add_argument("--count", type=int, default=48, help="generated images")
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.images or Path(scratch)
        if args.images is None:
            write_photos(folder, args.count)
        contestants = {
            "dense_cl": (our_dataset(folder), collate_views),
            "lightly": (lightly_dataset(folder), None),
        }
        rates: dict[str, list[float]] = {name: [] for name in contestants}
        for repeat in range(args.repeats + 1):
            for name, (dataset, collate) in contestants.items():
                rate = images_per_second(dataset, collate, repeat)
                if repeat:  # the first pass warms the caches
                    rates[name].append(rate)
        files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    ratios = [ours / theirs for ours, theirs in zip(*rates.values(), strict=True)]
    result = {
        "benchmark": "input_pipeline: two 224 px views per image, one core",
        "images": str(args.images or "generated 640x480 JPEGs"),
        "count": len(files),
        "mean_kilobytes": round(statistics.mean(files) / 1000),
        "repeats": args.repeats,
        "dense_cl": summary(rates["dense_cl"]),
        "lightly": summary(rates["lightly"]),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
        "versions": {
            name: version(name)
            for name in ("lightly", "torch", "torchvision", "albumentations", "opencv-python")
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
