"""How public data sets lie on disk: one function for each way, none of which downloads anything.

Each takes the root and a split and returns labelled images; classes are named by their number or
their folder. Where torchvision knows a data set it reads it, and the layout is torchvision's.
"""

import csv
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torchvision

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.labelled_images import LabelledImages
from dense_cl.sources.arrays import ArraySource
from dense_cl.sources.files import FileSource

Layout = Callable[[Path, str], LabelledImages]
VOC_CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike "
    "person pottedplant sheep sofa train tvmonitor"
).split()
CHEST_CLASSES = "Atelectasis Cardiomegaly Effusion Infiltration Mass Nodule Pneumothorax".split()


def labelled_files(root: Path, pairs: Iterable[tuple[str | Path, str]]) -> LabelledImages:
    """Return images from (path, class) pairs; results call them by their paths below ``root``.

    Raises:
        DenseCLError: there are none.
    """
    listed = list(pairs)
    if not listed:
        raise DenseCLError("no image is listed")
    files, names = zip(*listed, strict=True)
    below = [os.path.relpath(file, root) for file in files]
    return LabelledImages(FileSource(root, below), tuple(names))


def by_torchvision(name: str, **options: Any) -> Layout:
    """Read a data set whose class in torchvision lists its files and labels.

    Args:
        name: of the class.
        options: for it.
    """

    def read(root: Path, split: str) -> LabelledImages:
        found = getattr(torchvision.datasets, name)(root, split=split, **options)
        if hasattr(found, "_samples"):
            files, labels = zip(*found._samples, strict=True)
        else:
            files = found._images if hasattr(found, "_images") else found._image_files
            labels = found._labels
        return labelled_files(root, zip(files, (f"{label:03d}" for label in labels), strict=True))

    return read


def cifar(name: str) -> Layout:
    """Read CIFAR-10 or CIFAR-100 into memory."""

    def read(root: Path, split: str) -> LabelledImages:
        found = getattr(torchvision.datasets, name)(root, train=split == "train")
        names = tuple(f"{label:03d}" for label in found.targets)
        return LabelledImages(ArraySource(found.data, f"{name}/{split}"), names)

    return read


def caltech_101(root: Path, split: str) -> LabelledImages:
    """Read ``caltech101/101_ObjectCategories`` by the lists of linusericsson/ssl-transfer.

    Those are ``caltech101-splits/{train,test}.txt`` there, with the background as a class.
    """
    folder = root / "caltech101"
    lines = _lines(folder / "caltech101-splits" / f"{split}.txt")
    words = (line.rsplit(" ", 1) for line in lines)
    pictures = folder / "101_ObjectCategories"
    return labelled_files(root, ((pictures / file, name) for file, name in words))


def sun_397(root: Path, split: str) -> LabelledImages:
    """Read ``SUN397`` by the first of the official partitions, ``{Training,Testing}_01.txt``."""
    names = {"train": "Training_01.txt", "test": "Testing_01.txt"}
    folder = root / "SUN397"
    files = [line.lstrip("/") for line in _lines(folder / names[split])]
    return labelled_files(root, ((folder / file, str(Path(file).parent)) for file in files))


def voc_2007(root: Path, split: str) -> LabelledImages:
    """Read ``VOCdevkit/VOC2007``; an image has the classes its lists mark 1, joined with ``+``.

    Images that only hold a difficult object of a class (marked 0) count as without it.
    """
    folder = root / "VOCdevkit" / "VOC2007"
    classes: dict[str, list[str]] = {}
    for name in VOC_CLASSES:
        for line in _lines(folder / "ImageSets" / "Main" / f"{name}_{split}.txt"):
            image, mark = line.split()
            classes.setdefault(image, []).extend([name] if mark == "1" else [])
    pictures = folder / "JPEGImages"
    pairs = ((pictures / f"{image}.jpg", "+".join(names)) for image, names in classes.items())
    return labelled_files(root, pairs)


def folder_by_class(inside: str) -> Layout:
    """Read a folder with a subfolder for each class, whatever the split."""
    return lambda root, split: LabelledImages.find(root / inside)


def isic_2018(root: Path, split: str) -> LabelledImages:
    """Read the training images of ISIC 2018 task 3, by the column that is not 0."""
    folder, truth = root / "ISIC2018_Task3_Training_Input", "ISIC2018_Task3_Training_GroundTruth"
    rows = _table(root / truth / f"{truth}.csv")
    pairs = (
        (
            folder / f"{row['image']}.jpg",
            next(name for name, value in row.items() if name != "image" and float(value)),
        )
        for row in rows
    )
    return labelled_files(root, pairs)


def chest_x(root: Path, split: str) -> LabelledImages:
    """Read the ChestX-ray8 images with one finding, of the seven classes of CD-FSL."""
    rows = _table(root / "Data_Entry_2017.csv")
    pairs = (
        (root / "images" / row["Image Index"], row["Finding Labels"])
        for row in rows
        if row["Finding Labels"] in CHEST_CLASSES
    )
    return labelled_files(root, pairs)


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text().splitlines() if line.strip()]


def _table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8-sig") as text:
        rows = list(csv.DictReader(text))
    if not rows:
        raise DenseCLError(f"'{file}' has no rows.")
    return rows
