"""The data sets of "How Well Do Self-Supervised Models Transfer?", in one table.

Eleven for many-shot classification (metrics and splits of ``linear.py`` in
linusericsson/ssl-transfer) and the four of CD-FSL for few-shot (IBM/cdfsl-benchmark,
arXiv 1912.07200).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.dataset_layouts import (
    Layout,
    by_torchvision,
    caltech_101,
    chest_x,
    cifar,
    folder_by_class,
    isic_2018,
    sun_397,
    voc_2007,
)
from dense_cl.evaluation.image_sets import Splits
from dense_cl.evaluation.labelled_images import LabelledImages
from dense_cl.evaluation.many_shot import MAP
from dense_cl.sources.base import UnreadableImageError

TOP_1, PER_CLASS = "top-1", "mean per class"


@dataclass(frozen=True)
class DataSet:
    """How a data set is read and scored.

    Attributes:
        read: maps root and split to labelled images.
        place: what the root must hold, for messages.
        metric: of many-shot; None for those that are few-shot only.
        train: name of the split for training.
        val: name of that for validation; None where a fifth of training is taken.
        test: name of that for testing.
    """

    read: Layout
    place: str
    metric: str | None
    train: str = "train"
    val: str | None = None
    test: str = "test"

    def splits(self) -> list[str]:
        """Return the names of all splits."""
        parts = (self.train, self.val, self.test) if self.metric else (self.train,)
        return [split for split in parts if split]


DATASETS = {
    "aircraft": DataSet(by_torchvision("FGVCAircraft"), "fgvc-aircraft-2013b/", PER_CLASS,
                        val="val"),
    "caltech101": DataSet(caltech_101, "caltech101/101_ObjectCategories/ and caltech101/"
                          "caltech101-splits/{train,test}.txt", PER_CLASS),
    "cars": DataSet(by_torchvision("StanfordCars"), "stanford_cars/", TOP_1),
    "cifar10": DataSet(cifar("CIFAR10"), "cifar-10-batches-py/", TOP_1),
    "cifar100": DataSet(cifar("CIFAR100"), "cifar-100-python/", TOP_1),
    "dtd": DataSet(by_torchvision("DTD", partition=1), "dtd/dtd/", TOP_1, val="val"),
    "flowers": DataSet(by_torchvision("Flowers102"), "flowers-102/", PER_CLASS, val="val"),
    "food": DataSet(by_torchvision("Food101"), "food-101/", TOP_1),
    "pets": DataSet(by_torchvision("OxfordIIITPet"), "oxford-iiit-pet/", PER_CLASS,
                    train="trainval"),
    "sun397": DataSet(sun_397, "SUN397/ with {Training,Testing}_01.txt", TOP_1),
    "voc2007": DataSet(voc_2007, "VOCdevkit/VOC2007/ with the test set", MAP, val="val"),
    "chestx": DataSet(chest_x, "Data_Entry_2017.csv and images/", None),
    "cropdiseases": DataSet(folder_by_class("dataset/train"), "dataset/train/CLASS/", None),
    "eurosat": DataSet(folder_by_class("2750"), "2750/CLASS/", None),
    "isic": DataSet(isic_2018, "ISIC2018_Task3_Training_{Input,GroundTruth}/", None),
}  # fmt: skip


def find_dataset(name: str) -> DataSet:
    """Return a row of the table.

    Raises:
        DenseCLError: no such data set; names them all.
    """
    if name not in DATASETS:
        names = ", ".join(DATASETS)
        raise DenseCLError(f"data set '{name}' is not known; the names are {names}.")
    return DATASETS[name]


def read_split(name: str, root: str | Path, split: str) -> LabelledImages:
    """Return a split of a data set.

    Raises:
        DenseCLError: no such data set, or it does not lie there.
    """
    data, place = find_dataset(name), Path(root).expanduser()
    if not place.is_dir():
        raise DenseCLError(f"the root '{root}' of data set '{name}' does not exist.")
    try:
        return data.read(place, split)
    except UnreadableImageError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, DenseCLError) as error:
        raise DenseCLError(
            f"data set '{name}' is not complete in '{root}', which must hold {data.place}"
            f" ({error}). Nothing is downloaded; put it there yourself."
        ) from None


def choose_splits(
    dataset: str | None,
    root: str | Path | None,
    train: str | None,
    val: str | None,
    test: str | None,
    column: int = 1,
    metric: str | None = None,
) -> tuple[Splits, str]:
    """Return what the command line names, and the metric.

    Args:
        dataset: a name in ``DATASETS`` that has a metric, with ``root``; or None.
        root: of the data set.
        train: instead of a data set, see ``LabelledImages.find``.
        val: may be missing.
        test: with ``train``.
        column: label of a line.
        metric: in place of the one that belongs to the data set, or of top-1.

    Raises:
        DenseCLError: both, neither or half of it is given; or a data set without a metric.
    """
    _check_root(dataset, root)
    if bool(dataset) == bool(train or test or val):
        raise DenseCLError("give either --dataset and --root, or --train and --test.")
    if dataset is None or root is None:
        if not (train and test):
            raise DenseCLError("--train and --test belong together; give both.")
        sets = [LabelledImages.find(path, column) for path in (train, test, val) if path]
        return Splits.of(*sets, multi_label=metric == MAP), metric or TOP_1
    known = find_dataset(dataset)
    if known.metric is None:
        raise DenseCLError(
            f"data set '{dataset}' has no split for many-shot classification; use few-shot."
        )
    parts = [read_split(dataset, root, split) for split in known.splits()]
    metric = metric or known.metric
    chosen = parts[1] if known.val else None
    return Splits.of(parts[0], parts[-1], chosen, multi_label=metric == MAP), metric


def _check_root(dataset: str | None, root: str | Path | None) -> None:
    if dataset and not root:
        raise DenseCLError(
            f"--dataset {dataset} needs --root, the folder that holds "
            f"{find_dataset(dataset).place}. Nothing is downloaded."
        )
    if root and not dataset:
        raise DenseCLError(f"--root '{root}' needs --dataset; the names are {', '.join(DATASETS)}.")


def choose_images(
    dataset: str | None, root: str | Path | None, images: Sequence[str] | None, column: int = 1
) -> LabelledImages:
    """Return all labelled images that the command line names: every split of a data set.

    Raises:
        DenseCLError: both, neither or half of it is given; or images have several classes.
    """
    _check_root(dataset, root)
    if bool(dataset) == bool(images):
        raise DenseCLError("give either --dataset and --root, or --images.")
    if dataset is None or root is None:
        return LabelledImages.joined([LabelledImages.find(path, column) for path in images or ()])
    known = find_dataset(dataset)
    if known.metric == MAP:
        raise DenseCLError(
            f"images of '{dataset}' have several classes; an episode needs one for each image."
        )
    return LabelledImages.joined([read_split(dataset, root, split) for split in known.splits()])
