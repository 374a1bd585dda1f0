"""The results of one method on one task: a score for each seed, and what it is made of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.confusion import segmentation_scores

Array = NDArray[np.float64]
Score = Callable[[Array], Array]
_CHUNK = 64  # resamples whose weights are in memory at once


@dataclass(frozen=True)
class Runs:
    """S runs of a method that differ in their seed, all scored on the same N images.

    A score is a function of the sum over images of what was recorded for each: the mean of a value,
    or mean IoU of summed confusion matrices. That is all a bootstrap over images needs.

    Attributes:
        seeds: S different numbers.
        scores_S: score of each run.
        units_SNP: P recorded values of each image; None if nothing was recorded by image.
        score: maps totals (..., P) of N images to scores (...).
    """

    seeds: tuple[int, ...]
    scores_S: Array
    units_SNP: Array | None = None
    score: Score | None = None

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
        """Score each run from what was recorded for its images."""
        units = np.asarray(units_SNP, dtype=np.float64)
        return cls(seeds, score(units.sum(axis=1)), units, score)

    @classmethod
    def of_values(cls, seeds: tuple[int, ...], values_SN: Array) -> "Runs":
        """Take the mean of one value per image, such as right (1) or wrong (0)."""
        units = np.asarray(values_SN, dtype=np.float64)[:, :, None]
        return cls.of_units(seeds, units, lambda totals: totals[..., 0] / units.shape[1])

    @classmethod
    def of_confusions(cls, seeds: tuple[int, ...], confusions_SNKK: Array, name: str) -> "Runs":
        """Take a score of summed confusion matrices (rows = truth).

        Args:
            seeds: S numbers.
            confusions_SNKK: counts of each image.
            name: attribute of ``SegmentationScores``, such as ``mean_iou``.
        """
        classes = confusions_SNKK.shape[-1]

        def score(totals: Array) -> Array:
            flat = torch.from_numpy(totals.reshape(-1, classes, classes))
            values = [getattr(segmentation_scores(confusion), name) for confusion in flat]
            return np.array(values).reshape(totals.shape[:-1])

        flat = np.asarray(confusions_SNKK, np.float64).reshape(
            *confusions_SNKK.shape[:2], classes**2
        )
        return cls.of_units(seeds, flat, score)

    @property
    def images(self) -> int:
        """N, or 0 if nothing was recorded by image."""
        return 0 if self.units_SNP is None else self.units_SNP.shape[1]

    def resampled(self, count: int, seed: int) -> Array:
        """Return (count, S) scores of images drawn with replacement, the same for all runs.

        The draws depend on the number of images and ``seed`` alone, so that those of two methods
        that were scored on the same images are paired.

        Raises:
            DenseCLError: nothing was recorded by image.
        """
        if self.units_SNP is None or self.score is None:
            raise DenseCLError("there are no records by image to resample.")
        parts = [
            self.score(weights_BN @ self.units_SNP).T
            for weights_BN in _draws(self.images, count, seed)
        ]
        return np.concatenate(parts)


def _draws(images: int, count: int, seed: int) -> Iterator[Array]:
    """Yield how often each image is drawn, (up to ``_CHUNK``, N)."""
    rng = np.random.default_rng(seed)
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        yield rng.multinomial(images, np.full(images, 1 / images), size=size).astype(np.float64)
