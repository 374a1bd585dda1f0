"""How well saliency maps fit masks: F-measure, mean absolute error, structure measure.

All follow PySODMetrics 1.6 (lartpang/PySODMetrics, ``py_sod_metrics/sod_metrics.py``), which
agrees with the authors' MATLAB code. A prediction is (H, W) values in [0, 1], a truth (H, W) bool.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

BETA_SQUARED = 0.3
LEVELS = 256
_EPSILON = float(np.spacing(1))

Map = NDArray[np.floating]
Mask = NDArray[np.bool_]


def saliency_scores(
    pairs: Iterable[tuple[Map, Mask]], beta_squared: float = BETA_SQUARED
) -> dict[str, float]:
    """Score predictions, each brought to [0, 1] first as ``rescaled`` does.

    Args:
        pairs: prediction and truth of each image.
        beta_squared: see ``f_curve``.

    Returns:
        ``max_f`` (mean of the curves over images, then its maximum), ``mean_f`` (mean of that mean
        curve), ``adaptive_f``, ``mae`` and ``s_measure``, means over images.
    """
    curves, others = [], []
    for prediction, truth in pairs:
        prediction = rescaled(prediction)
        curves.append(f_curve(prediction, truth, beta_squared))
        others.append(
            (
                adaptive_f(prediction, truth, beta_squared),
                mean_absolute_error(prediction, truth),
                structure_measure(prediction, truth),
            )
        )
    curve = np.mean(curves, axis=0)
    adaptive, mae, structure = np.mean(others, axis=0)
    return {
        "max_f": float(curve.max()),
        "mean_f": float(curve.mean()),
        "adaptive_f": float(adaptive),
        "mae": float(mae),
        "s_measure": float(structure),
    }


def rescaled(prediction: Map) -> NDArray[np.float64]:
    """Stretch a map to [0, 1] from its smallest to its largest value; an even one stays."""
    values = np.asarray(prediction, dtype=np.float64)
    low, high = values.min(), values.max()
    return values if low == high else (values - low) / (high - low)


def f_curve(
    prediction: Map, truth: Mask, beta_squared: float = BETA_SQUARED
) -> NDArray[np.float64]:
    """F-measure at every level (Achanta et al., "Frequency-tuned salient region detection", 2009).

    (1 + b) P R / (b P + R) of the pixels whose level, ``int(255 * value)``, is at least 255, 254,
    ..., 0; b is ``beta_squared``. 0 where precision and recall are.

    Returns:
        (256,) values, the first for level 255.
    """
    levels = (np.asarray(prediction) * (LEVELS - 1)).astype(np.uint8)
    hits = np.bincount(levels[truth], minlength=LEVELS)[::-1].cumsum()
    found = np.bincount(levels.ravel(), minlength=LEVELS)[::-1].cumsum()
    return _f(hits, found, int(truth.sum()), beta_squared)


def adaptive_f(prediction: Map, truth: Mask, beta_squared: float = BETA_SQUARED) -> float:
    """F-measure of the pixels that reach twice the mean of the prediction, or 1 if that is less."""
    salient = prediction >= min(2 * float(np.mean(prediction)), 1.0)
    hits, found = np.array([np.sum(salient & truth)]), np.array([np.sum(salient)])
    return float(_f(hits, found, int(truth.sum()), beta_squared)[0])


def mean_absolute_error(prediction: Map, truth: Mask) -> float:
    """Mean over pixels of the difference between prediction and truth (0 or 1)."""
    return float(np.abs(prediction - truth).mean())


def structure_measure(prediction: Map, truth: Mask, alpha: float = 0.5) -> float:
    """S-measure: how alike the structures are (Fan et al., "Structure-measure", ICCV 2017).

    ``alpha`` of it compares object and background as wholes (section 3.2), the rest the four parts
    that the centre of the object divides the image into (section 3.1). A truth that is empty or
    full is compared by the mean of the prediction. A part of one pixel counts as alike, as in the
    authors' code; PySODMetrics has no number for it. A centre between two pixels is rounded as
    there, to the even one.
    """
    share = float(truth.mean())
    if share in (0.0, 1.0):
        mean = float(np.mean(prediction))
        return mean if share else 1 - mean
    as_wholes = share * _alike(prediction[truth]) + (1 - share) * _alike(1 - prediction[~truth])
    return max(0.0, alpha * as_wholes + (1 - alpha) * _by_quarters(prediction, truth))


def _f(
    hits: NDArray[np.int64], found: NDArray[np.int64], wanted: int, beta_squared: float
) -> NDArray[np.float64]:
    precision, recall = hits / np.maximum(found, 1), hits / max(wanted, 1)
    below = np.where(hits == 0, 1.0, beta_squared * precision + recall)
    return (1 + beta_squared) * precision * recall / below


def _alike(values: Map) -> float:
    """Say how close values are to being 1 everywhere."""
    mean = float(values.mean())
    # Of a single pixel nothing is known about its spread; the reference returns not-a-number.
    deviation = float(values.std(ddof=1)) if values.size > 1 else 0.0
    return 2 * mean / (mean**2 + 1 + deviation + _EPSILON)


def _by_quarters(prediction: Map, truth: Mask) -> float:
    # Up to and including the centre, as MATLAB's ranges do in the authors' code.
    row, column = (int(c) + 1 for c in np.argwhere(truth).mean(axis=0).round())
    total = 0.0
    for rows in (slice(0, row), slice(row, None)):
        for columns in (slice(0, column), slice(column, None)):
            part, mask = prediction[rows, columns], truth[rows, columns]
            if part.size:
                total += part.size / truth.size * _similarity(part, mask)
    return total


def _similarity(prediction: Map, truth: Mask) -> float:
    """Structural similarity of a part of the image to its truth."""
    if prediction.size == 1:  # whatever its value: both variances are 0
        return 1.0
    (spread, both), (_, spread_truth) = np.cov(prediction.ravel(), truth.ravel().astype(float))
    mean, mean_truth = float(prediction.mean()), float(truth.mean())
    above = 4 * mean * mean_truth * both
    below = (mean**2 + mean_truth**2) * (spread + spread_truth)
    if above == 0:
        return float(below == 0)
    return float(above / (below + _EPSILON))
