"""A metric of MMSegmentation that keeps a confusion matrix for each image.

Import it through ``import_mmseg``.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS

from dense_cl.evaluation.confusion import confusion_matrix
from dense_cl.evaluation.examples import PHOTO, Examples
from dense_cl.evaluation.pixel_counts import PixelCounts, plain_scores
from dense_cl.evaluation.results import sparse
from dense_cl.report.draw_views import draw_classes
from dense_cl.sources.files import load_image


@METRICS.register_module()
class PixelConfusion(BaseMetric):
    """Pixels by (true class, predicted class) of each image, at the full size of its mask.

    Values of a mask outside the classes, as 255, are void and not counted.

    Attributes:
        examples: images whose predictions are drawn.
        counts: after ``compute_metrics``, in the order of the data set; on the main process only.
    """

    default_prefix = "segmentation"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.examples = Examples.of(None, [])
        self.counts: PixelCounts | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of some images.

        Args:
            data_batch: not used.
            data_samples: with ``img_path``, and (1, H, W) ``pred_sem_seg`` and ``gt_sem_seg``.
        """
        classes = len(self.dataset_meta["classes"])
        for sample in data_samples:
            predicted = sample["pred_sem_seg"]["data"][0].cpu()
            truth = sample["gt_sem_seg"]["data"][0].cpu()
            assert predicted.shape == truth.shape, sample["img_path"]
            counts = confusion_matrix(predicted, truth, classes)
            self.results.append((sample["img_path"], sparse(counts)))
            if sample["img_path"] in self.examples:
                photo = load_image(sample["img_path"])
                drawn = draw_classes(photo, predicted.numpy(), classes)
                self.examples.save(sample["img_path"], PHOTO, photo)
                self.examples.save(sample["img_path"], "segmentation", drawn)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the scores over all images, in [0, 1]."""
        classes = len(self.dataset_meta["classes"])
        names, entries = zip(*results, strict=True)
        matrices = tuple(_matrix(rows, classes) for rows in entries)
        total = torch.stack(matrices).sum(0).to_dense()
        self.counts = PixelCounts(names, matrices, total)
        return plain_scores(self.counts.scores())


def _matrix(entries: list[list[int]], classes: int) -> torch.Tensor:
    """Return the sparse matrix of entries [row, column, count]."""
    counts = torch.zeros(classes, classes, dtype=torch.long)
    for row, column, count in entries:
        counts[row, column] = count
    return counts.to_sparse()
