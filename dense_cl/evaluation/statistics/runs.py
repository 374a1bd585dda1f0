"""The results of one method on one task: a score for each seed, and what it is made of."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.average_precision import Matches
from dense_cl.evaluation.class_scores import resampled_average_precision_11
from dense_cl.evaluation.confusion import counted_scores
from dense_cl.evaluation.panoptic_quality import COUNTS, panoptic_quality

Array = NDArray[np.float64]
Score = Callable[[Array], Array]
EPISODES, QUERY_PHOTOS = "episodes", "query photos"
_CHUNK = 64  # resamples whose weights are in memory at once


@dataclass(frozen=True)
class Runs:
    """S runs of a method that differ in their seed, all scored on the same N images.

    Attributes:
        seeds: S different numbers.
        scores_S: score of each run.
        images: N, or 0 if nothing was recorded by image.
        weighted: maps weights (B, N), how often each image occurs in each of B samples, to scores
            (B, S) of these samples; None if nothing was recorded by image.
        lacking: why nothing was recorded by image, for verdicts.
        unit: what an "image" is, for verdicts: ``images``, ``EPISODES`` that are all drawn from
            the same images, or ``QUERY_PHOTOS`` that are all matched with the same photos.
    """

    seeds: tuple[int, ...]
    scores_S: Array
    images: int = 0
    weighted: Score | None = None
    lacking: str = "no records by image"
    unit: str = "images"
    _drawn: dict[tuple[int, int], Array] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(set(self.seeds)) != len(self.scores_S) or not self.seeds:
            raise DenseCLError(
                f"{len(self.scores_S)} scores belong to seeds {list(self.seeds)}: give one score "
                "for each seed, and each seed once."
            )
        if not np.isfinite(self.scores_S).all():
            raise DenseCLError(
                f"the scores {self.scores_S.tolist()} are not all numbers; a run that failed "
                "cannot be compared."
            )

    @classmethod
    def of_units(cls, seeds: tuple[int, ...], units_SNP: Array, score: Score) -> "Runs":
        """Score each run by a function of the sum over images of what was recorded for each.

        Args:
            seeds: S numbers.
            units_SNP: P recorded values of each image.
            score: maps totals (..., P) of N images to scores (...).
        """
        units = np.asarray(units_SNP, dtype=np.float64)

        def weighted(weights_BN: Array) -> Array:
            return score(weights_BN @ units).T

        return cls(seeds, score(units.sum(axis=1)), units.shape[1], weighted)

    @classmethod
    def of_values(cls, seeds: tuple[int, ...], values_SN: Array) -> "Runs":
        """Take the mean of one value per image, such as right (1) or wrong (0)."""
        units = np.asarray(values_SN, dtype=np.float64)[:, :, None]
        return cls.of_units(seeds, units, lambda totals: totals[..., 0] / units.shape[1])

    @classmethod
    def of_confusions(
        cls, seeds: tuple[int, ...], counts_SN3K: NDArray[np.int64], name: str
    ) -> "Runs":
        """Take a score of summed confusion matrices.

        Args:
            seeds: S numbers.
            counts_SN3K: of each image (see ``results.counts_by_class``).
            name: attribute of ``SegmentationScores``, such as ``mean_iou``.
        """
        shape = counts_SN3K.shape

        def score(totals: Array) -> Array:
            flat = totals.reshape(-1, *shape[2:])
            values = [getattr(counted_scores(counts), name) for counts in flat]
            return np.array(values).reshape(totals.shape[:-1])

        units = np.asarray(counts_SN3K.reshape(*shape[:2], -1), np.float64)
        return cls.of_units(seeds, units, score)

    @classmethod
    def of_matches(cls, seeds: tuple[int, ...], matches_S: Sequence[Matches], name: str) -> "Runs":
        """Take a kind of average precision, for which the detections of all images are ranked.

        Args:
            seeds: S numbers.
            matches_S: of each run.
            name: such as ``mAP``; key of ``dense_cl.evaluation.average_precision.SCORES``.
        """
        images = len(matches_S[0].truths_NK)

        def weighted(weights_BN: Array) -> Array:
            return np.stack([matches.score(name, weights_BN) for matches in matches_S], axis=1)

        return cls(seeds, weighted(np.ones((1, images)))[0], images, weighted)

    @classmethod
    def of_rankings(
        cls, seeds: tuple[int, ...], scores_SNK: Array, positive_SNK: NDArray[np.bool_]
    ) -> "Runs":
        """Take 11-point mean average precision, for which all images are ranked for each class.

        Args:
            seeds: S numbers.
            scores_SNK: of each image for each class.
            positive_SNK: which classes it has.
        """
        runs = list(zip(scores_SNK, positive_SNK, strict=True))

        def weighted(weights_BN: Array) -> Array:
            each = [resampled_average_precision_11(*run, weights_BN) for run in runs]
            return np.stack(each, axis=1)

        images = scores_SNK.shape[1]
        return cls(seeds, weighted(np.ones((1, images)))[0], images, weighted)

    @classmethod
    def of_segments(
        cls, seeds: tuple[int, ...], segments_SN: Sequence[Sequence[Sequence]], name: str
    ) -> "Runs":
        """Take a kind of panoptic quality, of summed counts.

        Args:
            seeds: S numbers.
            segments_SN: of each image, [class, summed IoU, TP, FP, FN] of the classes in it.
            name: 'PQ', 'SQ' or 'RQ'.
        """
        classes = 1 + max((int(s[0]) for run in segments_SN for im in run for s in im), default=0)
        units = np.zeros((len(segments_SN), len(segments_SN[0]), classes, COUNTS))
        for run, images in zip(units, segments_SN, strict=True):
            for image, segments in zip(run, images, strict=True):
                for number, *values in segments:
                    image[int(number)] = values

        def score(totals: Array) -> Array:
            return panoptic_quality(totals.reshape(*totals.shape[:-1], classes, COUNTS))[name]

        return cls.of_units(seeds, units.reshape(*units.shape[:2], -1), score)

    def resampled(self, count: int, seed: int) -> Array:
        """Return (count, S) scores of images drawn with replacement, the same for all runs.

        The draws depend on the number of images and ``seed`` alone, so that those of two methods
        that were scored on the same images are paired.

        Raises:
            DenseCLError: nothing was recorded by image.
        """
        if self.weighted is None:
            raise DenseCLError("there are no records by image to resample.")
        # A control is compared with every other method.
        if (count, seed) not in self._drawn:
            parts = [self.weighted(weights_BN) for weights_BN in _draws(self.images, count, seed)]
            self._drawn[count, seed] = np.concatenate(parts)
        return self._drawn[count, seed]


def _draws(images: int, count: int, seed: int) -> Iterator[Array]:
    """Yield how often each image is drawn, (up to ``_CHUNK``, N)."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        yield rng.multinomial(images, np.full(images, 1 / images), size=size).astype(np.float64)
