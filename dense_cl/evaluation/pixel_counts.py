"""Predictions of all photos against their masks, at full size, counted by photo."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.confusion import (
    SegmentationScores,
    confusion_matrix,
    segmentation_scores,
)
from dense_cl.evaluation.mask_folders import MaskFolders
from dense_cl.evaluation.results import sparse


@dataclass(frozen=True)
class PixelCounts:
    """Pixels by (true class, predicted class).

    Attributes:
        names: photos.
        by_photo: (K, C) sparse matrix of each.
        total: (K, C) of all.
    """

    names: tuple[str, ...]
    by_photo: tuple[Tensor, ...]
    total: Tensor

    @classmethod
    def of(
        cls,
        folders: MaskFolders,
        predict: Callable[[int, tuple[int, int]], Tensor],
        num_predicted: int | None = None,
    ) -> "PixelCounts":
        """Count what ``predict`` gives.

        Args:
            folders: photos and masks.
            predict: maps an index and the size (h, w) of its mask to (h, w) predicted integers.
            num_predicted: C, where predictions are clusters; the number of classes if not given.
        """
        names, by_photo = [], []
        total = torch.zeros(
            folders.num_classes, num_predicted or folders.num_classes, dtype=torch.long
        )
        for index in range(len(folders)):
            labels = folders.labels(index)
            prediction = predict(index, (labels.shape[0], labels.shape[1]))
            counts = confusion_matrix(prediction, labels, *total.shape)
            total += counts
            by_photo.append(counts.to_sparse())
            names.append(folders.name(index))
        return cls(tuple(names), tuple(by_photo), total)

    def merged(self, merge: Callable[[Tensor], Tensor]) -> "PixelCounts":
        """Apply a map of matrices, such as naming clusters, to those of all photos."""
        by_photo = tuple(merge(counts.to_dense()).to_sparse() for counts in self.by_photo)
        return PixelCounts(self.names, by_photo, merge(self.total))

    def scores(self) -> SegmentationScores:
        """Return the scores over all photos."""
        return segmentation_scores(self.total)

    def records(self) -> list[dict[str, Any]]:
        """Return the records of a result."""
        return [
            {"image": name, "confusion": sparse(counts.to_dense())}
            for name, counts in zip(self.names, self.by_photo, strict=True)
        ]


def plain_scores(scores: SegmentationScores) -> dict[str, float]:
    """Return the scores over all classes by name."""
    return {
        "mean_iou": scores.mean_iou,
        "pixel_accuracy": scores.pixel_accuracy,
        "mean_class_accuracy": scores.mean_class_accuracy,
    }


def iou_by_class(
    scores: SegmentationScores, classes: Sequence[str] = ()
) -> dict[str, float | None]:
    """Return the IoU by name of the class, or by its number; None where it never occurs.

    Raises:
        DenseCLError: there are names, but not one for each class.
    """
    names = list(classes) or [str(number) for number in range(len(scores.iou))]
    if len(names) != len(scores.iou):
        raise DenseCLError(
            f"{len(names)} class names were given for {len(scores.iou)} classes; give one for each "
            "mask value, in their order."
        )
    return {n: None if v != v else float(v) for n, v in zip(names, scores.iou, strict=True)}
