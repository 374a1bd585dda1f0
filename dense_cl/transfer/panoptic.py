"""MMDetection's panoptic labels and metric without panopticapi, which no package registry has."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets.api_wrappers import COCOPanoptic
from mmdet.datasets.transforms import LoadAnnotations, LoadPanopticAnnotations
from mmdet.structures import INSTANCE_OFFSET
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray
from PIL import Image

from dense_cl.evaluation.panoptic_quality import SCORES, count_segments, panoptic_quality
from dense_cl.registry import METRICS, TRANSFORMS


def segment_ids(colours_HW3: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the (H, W) segment ids that a COCO panoptic PNG codes: R + 256 G + 256² B."""
    return colours_HW3.astype(np.int32) @ np.array([1, 256, 256**2], np.int32)


@TRANSFORMS.register_module(name="LoadPanopticAnnotations")
class LoadPanoptic(LoadPanopticAnnotations):
    """The transform of the same name, whose constructor imports panopticapi for one function.

    Args:
        **options: of ``LoadPanopticAnnotations``.
    """

    def __init__(self, **options: Any) -> None:
        defaults = dict(with_mask=True, with_seg=True, with_keypoints=False)
        LoadAnnotations.__init__(self, **(defaults | options))
        self.rgb2id = segment_ids


@METRICS.register_module()
class RecordingPanopticMetric(BaseMetric):
    """PQ, SQ and RQ in [0, 1], of all classes, of things (``_th``) and of stuff (``_st``).

    Args:
        ann_file: COCO panoptic JSON whose categories are in the order of the classes.
        seg_prefix: folder of its PNGs.
        **options: of MMEngine's ``BaseMetric``.
    """

    default_prefix = "coco"

    def __init__(self, ann_file: str, seg_prefix: str, **options: Any) -> None:
        super().__init__(**options)
        self.truth = COCOPanoptic(ann_file)
        self.seg_prefix = Path(seg_prefix)
        self.detections: dict[str, list[Any]] = {}  # nothing to draw
        self._counts: dict[Any, dict[int, list[float]]] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Count the segments of each image."""
        numbers = {category: number for number, category in enumerate(self.truth.cats)}
        for sample in data_samples:
            image = sample["img_id"]
            with Image.open(self.seg_prefix / self.truth.imgs[image]["segm_file"]) as png:
                truth_HW = segment_ids(np.asarray(png.convert("RGB")))
            truth = {
                segment["id"]: (numbers[segment["category_id"]], bool(segment.get("iscrowd")))
                for segment in self.truth.imgToAnns.get(image, [])
            }
            found_HW = sample["pred_panoptic_seg"]["sem_seg"][0].cpu().numpy()
            # A class beyond the last stands for pixels that are left without one.
            found = {
                int(segment): int(segment) % INSTANCE_OFFSET
                for segment in np.unique(found_HW)
                if segment % INSTANCE_OFFSET < len(numbers)
            }
            self.results.append((image, count_segments(truth_HW, truth, found_HW, found)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Sum over images and score."""
        self._counts = dict(results)
        totals_K4 = np.zeros((len(self.truth.cats), 4))
        for counts in self._counts.values():
            for number, values in counts.items():
                totals_K4[number] += values
        things = np.array([bool(c["isthing"]) for c in self.truth.cats.values()])
        parts = {"": totals_K4, "_th": totals_K4[things], "_st": totals_K4[~things]}
        scores = {part: panoptic_quality(totals) for part, totals in parts.items()}
        # What is not there to be found counts as 0.
        return {
            f"{name}{part}": float(np.nan_to_num(scores[part][name]))
            for part in parts
            for name in SCORES
        }

    def records(self) -> dict[Any, dict[str, Any]]:
        """Return by image id the ``segments``: [class, summed IoU, TP, FP, FN]."""
        return {
            image: {"segments": [[number, *values] for number, values in counts.items()]}
            for image, counts in self._counts.items()
        }
