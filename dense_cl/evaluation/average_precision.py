"""COCO's average precision of any sample of images, from what was matched in each of them.

AP is no mean over images: detections of all images are ranked together. But which detection finds
which object is settled within an image, so a bootstrap over images only has to rank again. D is
detections, T IoU thresholds, N images, K classes, B samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
MAX_DETECTIONS = 100  # of a class in an image
# Which thresholds a score is the mean over, by what follows 'bbox_' or 'segm_' in its name.
SCORES = {"mAP": slice(None), "mAP_50": slice(0, 1), "mAP_75": slice(5, 6)}
KINDS = ("bbox", "segm")
_RECALLS = np.linspace(0, 1, 101)
BITS = 1 << np.arange(len(IOU_THRESHOLDS))  # of the thresholds, in records


@dataclass(frozen=True)
class Matches:
    """What a detector found in N images, by falling score.

    Attributes:
        image_D: number of the image.
        class_D: number of the class.
        hit_DT: whether it was matched to an object that counts, at each IoU threshold.
        ignored_DT: whether it counts neither as right nor as wrong (matched to a crowd).
        truths_NK: objects that count, by image and class.
    """

    image_D: NDArray[np.intp]
    class_D: NDArray[np.intp]
    hit_DT: NDArray[np.bool_]
    ignored_DT: NDArray[np.bool_]
    truths_NK: Array

    @classmethod
    def of_records(cls, records: Sequence[Mapping[str, Any]], kind: str) -> "Matches":
        """Read the records of images that ``dense_cl.evaluation.coco_matches`` writes.

        Args:
            records: each with ``<kind>.truths``, [class, objects], and ``<kind>.found``, [class,
                score, hits, ignored]; bit t of the last two is for IoU threshold t.
            kind: 'bbox' or 'segm'.
        """
        rows = [(i, *row) for i, r in enumerate(records) for row in r[f"{kind}.found"]]
        found: Array = np.array(rows, np.float64).reshape(-1, 5)
        truths = [(i, *row) for i, r in enumerate(records) for row in r[f"{kind}.truths"]]
        truths_NK = np.zeros((len(records), 1 + max((int(row[1]) for row in truths), default=0)))
        for image, number, count in truths:
            truths_NK[image, int(number)] += count
        # Ties stay in the order of the images, as in pycocotools.
        order = np.argsort(-found[:, 2], kind="stable")
        image_D, class_D, hits_D, ignored_D = found[order][:, [0, 1, 3, 4]].T.astype(np.intp)
        return cls(
            image_D,
            class_D,
            (hits_D[:, None] & BITS) > 0,
            (ignored_D[:, None] & BITS) > 0,
            truths_NK,
        )

    def score(self, name: str, weights_BN: Array) -> Array:
        """Return (B,) scores of samples in which image n occurs ``weights_BN[b, n]`` times.

        Args:
            name: key of ``SCORES``.
            weights_BN: counts; all ones is the score of the images as they are.

        Returns:
            Scores in [0, 1]; NaN where no image that was drawn has an object.
        """
        thresholds = np.arange(len(IOU_THRESHOLDS))[SCORES[name]]
        truths_BK = weights_BN @ self.truths_NK
        sums_B, counted_B = np.zeros(len(weights_BN)), np.zeros(len(weights_BN))
        for number in range(truths_BK.shape[1]):
            # Classes that a sample has no object of do not count in it.
            present_B = truths_BK[:, number] > 0
            if present_B.any():
                ap_B = self._of_class(number, thresholds, weights_BN, truths_BK[:, number])
                sums_B += np.where(present_B, ap_B, 0.0)
                counted_B += present_B
        return np.divide(sums_B, counted_B, out=np.full_like(sums_B, np.nan), where=counted_B > 0)

    def _of_class(
        self, number: int, thresholds: NDArray[np.intp], weights_BN: Array, truths_B: Array
    ) -> Array:
        """Return the AP of a class, averaged over thresholds.

        The envelope of precision over recall is reached at hits only, so it is enough to look at
        those: each contributes its precision for every one of the 101 recalls that is reached with
        it and was not before. Precision and recall as in ``accumulate`` of pycocotools.
        """
        chosen = np.flatnonzero(self.class_D == number)
        # Samples last: rows are then taken and added whole, which is several times faster.
        drawn_DB = weights_BN.T[self.image_D[chosen]]
        seen_DB = drawn_DB.cumsum(axis=0)
        objects_B = np.maximum(truths_B, 1)
        ap_B = np.zeros(len(weights_BN))
        for threshold in thresholds:
            hits = np.flatnonzero(self.hit_DT[chosen, threshold])
            right_HB = drawn_DB[hits].cumsum(axis=0)
            counted_HB = seen_DB[hits]
            ignored = np.flatnonzero(self.ignored_DT[chosen, threshold])
            if ignored.size:
                passed_IB = np.pad(drawn_DB[ignored].cumsum(axis=0), ((1, 0), (0, 0)))
                counted_HB -= passed_IB[np.searchsorted(ignored, hits)]
            precision_HB = right_HB / (counted_HB + np.spacing(1))
            envelope_HB = np.maximum.accumulate(precision_HB[::-1], axis=0)[::-1]
            reached_HB = np.searchsorted(_RECALLS, right_HB / objects_B, side="right")
            new_HB = np.diff(reached_HB, axis=0, prepend=0)
            ap_B += (envelope_HB * new_HB).sum(axis=0) / len(_RECALLS)
        return ap_B / len(thresholds)
