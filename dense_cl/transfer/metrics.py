"""MMDetection's metrics that keep what a result by image is made of."""

from collections.abc import Sequence
from typing import Any

from mmdet.evaluation import CocoMetric
from mmengine.fileio import load
from pycocotools.coco import COCO

from dense_cl.evaluation.average_precision import KINDS
from dense_cl.evaluation.coco_matches import coco_matches
from dense_cl.registry import METRICS


@METRICS.register_module()
class RecordingCocoMetric(CocoMetric):
    """CocoMetric that can say afterwards what was found in each image.

    Attributes:
        detections: entries of COCO results of the latest evaluation, by kind: 'bbox', 'segm'.
    """

    detections: dict[str, list[dict[str, Any]]]

    @property
    def truth(self) -> COCO:
        """The labels."""
        return self._coco_api

    def results2json(self, results: Sequence[dict[str, Any]], outfile_prefix: str) -> dict:
        """Write the files of COCO results, and keep their content."""
        files = super().results2json(results, outfile_prefix)
        self.detections = {kind: load(files[kind]) for kind in KINDS if kind in self.metrics}
        return files

    def records(self) -> dict[Any, dict[str, Any]]:
        """Return what was matched in each image: by image id, ``coco_matches`` by kind."""
        by_kind = {
            kind: coco_matches(self.truth, entries, kind)
            for kind, entries in self.detections.items()
        }
        return {
            image: {kind: records[image] for kind, records in by_kind.items()}
            for image in self.truth.imgs
        }
