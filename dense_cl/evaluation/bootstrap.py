"""How far a score would move with other images."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RESAMPLES, LEVEL = 2000, 0.95


def bootstrap_interval(
    values: NDArray[Any],
    statistic: Callable[[Array], Array] = lambda means: means,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Return the percentile interval of a function of means over images.

    Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13: images are drawn
    with replacement, and the interval is between quantiles of the scores so obtained.

    Args:
        values: (N,) or (N, K), a row for each image.
        statistic: maps (R, K) means (or (R,)) to R scores; by default the mean is the score.
        seed: of the draws; the same seed and N draw the same images.
        resamples: R.
        level: share of the scores between the two limits.
    """
    images = len(values)
    draws = np.random.default_rng(seed).multinomial(
        images, np.full(images, 1 / images), size=resamples
    )
    scores = statistic(draws @ np.asarray(values, dtype=np.float64) / images)
    low, high = np.quantile(scores, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
