"""What ``transfer_table.py`` measures: the tasks by name, each a function of a ``Start``.

A task returns a result as ``dense-cl evaluate`` writes it, or a plain dictionary where there is
nothing that ``dense-cl compare`` could compare.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

import dense_cl
from dense_cl.diagnostics.measure import view_measures
from dense_cl.diagnostics.sample import sample_views
from dense_cl.engine.config import load_config
from dense_cl.evaluation.classification import evaluate_classification
from dense_cl.evaluation.features import Extraction
from dense_cl.evaluation.few_shot import evaluate_few_shot
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.evaluation.image_sets import Splits
from dense_cl.evaluation.labelled_images import LabelledImages
from dense_cl.evaluation.localization import evaluate_localization
from dense_cl.evaluation.many_shot import evaluate_many_shot
from dense_cl.evaluation.mask_folders import MaskFolders
from dense_cl.evaluation.object_files import find_images
from dense_cl.evaluation.retrieval import evaluate_retrieval
from dense_cl.evaluation.segmentation import evaluate_segmentation
from dense_cl.evaluation.segmenter.evaluate import evaluate_segmentation_fine_tuning
from dense_cl.registry import DATASETS

VIEWS_OF = "moco_v2_resnet18_1xb32_cosine_40e_voc_animals"
CAMVID_SIZE, CAMVID_VOID = (240, 320), 11
CAMVID_PENALTIES = (1e-2, 1e-3, 1e-4, 1e-5)
GROCERY_SIZE = 96
GROCERY_PENALTIES = (1.0, 1e-1, 1e-2, 1e-3)
# Passes over the 28, 271 or 2,708 photos: about 400 steps of four, 677 for all.
DETECTION_EPOCHS = {1: 58, 10: 6, 100: 1}
COCO128_EPOCHS = 16
SHORT_FCN_ITERATIONS = 100


@dataclass(frozen=True)
class Start:
    """A backbone that is measured.

    Attributes:
        backbone: exported file, or ``random``.
        seed: of its pretraining, and of what is drawn here.
        folder: of the run; its features are cached there, and detectors trained.
        data: folders of ``voc_animals``, ``camvid``, ``grocery`` and ``coco128``.
        command: for results.
        short: train detectors and segmenters for a shorter time.
    """

    backbone: str
    seed: int
    folder: Path
    data: Mapping[str, Path]
    command: str
    short: bool

    @property
    def extraction(self) -> Extraction:
        """Features of the same images are computed once for all tasks."""
        return Extraction(cache=self.folder / "features")

    def camvid(self) -> dict[str, MaskFolders]:
        """Frames and masks by split."""
        root = self.data["camvid"]
        count = len(self.camvid_classes())
        return {
            split: MaskFolders.find(
                root / "images" / split, root / "masks" / split, count, [CAMVID_VOID]
            )
            for split in ("train", "val", "test")
        }

    def camvid_classes(self) -> list[str]:
        """Names of the classes."""
        return (self.data["camvid"] / "classes.txt").read_text().split()

    def detector(self, kind: str, epochs: int) -> dict[str, Any]:
        """Recipe and length of a ``faster`` or ``mask`` R-CNN: ``epochs``, unless it is short."""
        length = "300i_tiny" if self.short else "1200i_small"
        recipe = f"{kind}_rcnn_resnet18_fpn_1xb4_cosine_{length}"
        return {"config": recipe, "epochs": None if self.short else epochs}

    def grocery(self) -> list[LabelledImages]:
        """Training, validation and test photos with their fine classes."""
        splits = ("train", "val", "test")
        return [LabelledImages.find(self.data["grocery"] / f"{split}.txt") for split in splits]


def camvid(start: Start) -> dict[str, Any]:
    """Frozen last stage, linear classifier, penalty chosen on val, scored once on test."""
    frames = start.camvid()
    return evaluate_segmentation(
        start.backbone, frames["train"], frames["test"], frames["val"], CAMVID_SIZE,
        l2=CAMVID_PENALTIES, seed=start.seed, classes=start.camvid_classes(),
        extraction=start.extraction, pictures=start.folder / "camvid_pictures",
    )  # fmt: skip


def camvid_retrieval(start: Start) -> dict[str, Any]:
    """Labels of the most similar training patches."""
    frames = start.camvid()
    return evaluate_retrieval(
        start.backbone, frames["train"], frames["test"], CAMVID_SIZE, seed=start.seed,
        classes=start.camvid_classes(), extraction=start.extraction,
        pictures=start.folder / "camvid_retrieval_pictures",
    )  # fmt: skip


def camvid_fine_tuning(start: Start) -> dict[str, Any]:
    """An FCN of MMSegmentation with everything trained."""
    frames, folder = start.camvid(), start.folder / "camvid_fine_tuning"
    return evaluate_segmentation_fine_tuning(
        "fcn_resnet18_1xb8_cosine_300i_small", start.backbone, frames["train"], frames["test"],
        start.camvid_classes(), seed=start.seed, work_dir=folder,
        iterations=SHORT_FCN_ITERATIONS if start.short else None,
        pictures=start.folder / "camvid_fine_tuning_pictures",
    )  # fmt: skip


def grocery(start: Start) -> dict[str, Any]:
    """Frozen pooled features, nearest neighbours and logistic regression."""
    train, val, test = start.grocery()
    return evaluate_classification(
        start.backbone, train, test, val, GROCERY_SIZE, l2=GROCERY_PENALTIES, seed=start.seed,
        extraction=start.extraction,
    )  # fmt: skip


def grocery_many_shot(start: Start) -> dict[str, Any]:
    """The many-shot protocol with its 45 penalties."""
    train, val, test = start.grocery()
    return evaluate_many_shot(
        start.backbone, Splits(train, val, test), size=GROCERY_SIZE, seed=start.seed,
        extraction=start.extraction,
    )  # fmt: skip


def grocery_few_shot(start: Start) -> dict[str, Any]:
    """The few-shot protocol, 600 episodes from the test photos."""
    return evaluate_few_shot(
        start.backbone, start.grocery()[2], size=GROCERY_SIZE, seed=start.seed,
        extraction=start.extraction,
    )  # fmt: skip


def localization(start: Start) -> dict[str, Any]:
    """Where frozen features see objects, beside baselines that look at the middle."""
    root = start.data["voc_animals"]
    val = find_images(str(root / "images"), str(root / "annotations" / "val.json"), None)
    result = evaluate_localization(
        start.backbone, val, pictures=start.folder / "localization_pictures"
    )
    return result | {
        "corloc": result["scores"]["corloc"]["lost"],
        "pointing": result["scores"]["pointing"]["grad_cam"],
    }


def detection(start: Start, percent: int) -> dict[str, Any]:
    """Faster R-CNN from the backbone, everything trained, on a part of the labels."""
    root = start.data["voc_animals"]
    return dense_cl.finetune(
        backbone=start.backbone, train=root / "annotations" / "train.json",
        val=root / "annotations" / "test.json", train_images=root / "images",
        val_images=root / "images", fraction=percent, seed=start.seed,
        work_dir=start.folder / f"detection_{percent}", command=start.command,
        **start.detector("faster", DETECTION_EPOCHS[percent]),
    )  # fmt: skip


def coco128(start: Start) -> dict[str, Any]:
    """Mask R-CNN from the backbone on a hundred photos of eighty classes."""
    labels = start.data["coco128"] / "annotations"
    return dense_cl.finetune(
        backbone=start.backbone, train=labels / "instances_train2017.json",
        val=labels / "instances_val2017.json", seed=start.seed,
        work_dir=start.folder / "coco128", command=start.command,
        **start.detector("mask", COCO128_EPOCHS),
    )  # fmt: skip


def instruments(start: Start) -> dict[str, Any]:
    """Alignment, uniformity, RankMe and others of two views of photos that were not trained on."""
    root = start.data["voc_animals"]
    dataset = load_config(VIEWS_OF).train_dataloader.dataset.to_dict()
    dataset["source"] |= dict(
        annotations=str(root / "annotations" / "val.json"), image_root=str(root / "images")
    )
    views_NQHWC, _ = sample_views(DATASETS.build(dataset), images=300)
    frozen = FrozenBackbone.load(start.backbone, start.seed)
    pooled = [frozen.pooled(views_NHWC) for views_NHWC in views_NQHWC.unbind(1)]
    return view_measures(torch.stack(pooled, dim=1))


# What needs which data beside ``voc_animals``.
TASKS: dict[str, Callable[[Start], dict[str, Any]]] = {
    "camvid": camvid,
    "camvid_retrieval": camvid_retrieval,
    "camvid_fine_tuning": camvid_fine_tuning,
    "grocery": grocery,
    "grocery_many_shot": grocery_many_shot,
    "grocery_few_shot": grocery_few_shot,
    "instruments": instruments,
    "localization": localization,
    "detection_1": partial(detection, percent=1),
    "detection_10": partial(detection, percent=10),
    "detection_100": partial(detection, percent=100),
    "coco128": coco128,
}
