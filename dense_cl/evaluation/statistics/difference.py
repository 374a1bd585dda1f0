r"""Two methods compared over seeds and images: the paired hierarchical bootstrap.

**Seeds are the unit.** What is asked is whether *training again* with another seed would show the
same, on other images of the same kind. So seeds and images are both samples. All runs are scored on
the same images: the two samples are crossed, not nested, and images are drawn once for all seeds
and both methods. Drawing them anew within each seed would average away what makes an image easy or
hard for a method (Owen, Annals of Applied Statistics 1, 2007, 386-411, the pigeonhole bootstrap).

**Few seeds.** Resampling S seeds with replacement gives their mean a variance of only (S-1)/S of
what it is, and quantiles of a handful of values, which makes a bootstrap over three seeds
anti-conservative. The seed level of the bootstrap of a mean is known in closed form, and is used
with the unbiased divisor: :math:`s^2 / S`, with S - 1 degrees of freedom. Only the images are
resampled by machine. ``Estimate`` combines both such that few seeds give long intervals.

**Pairs.** Runs with the same seed numbers are compared seed by seed (initialisation and order of
the data often depend on the seed); otherwise the two methods are independent samples of seeds.
A side with a single run contributes no variance between seeds: what is said then holds for this
run only.

**No spread is not certainty.** Two seeds that happen to show the same, or photos of which only one
has a label, have a variance of 0, which is no estimate of an error. Such a part is left out like
one that was never measured; if nothing else is there, nothing is known.
"""

from dataclasses import dataclass

import numpy as np

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.statistics.estimate import Estimate, Part
from dense_cl.evaluation.statistics.runs import Array, Runs

RESAMPLES = 1000
_ROUNDING = 1e-12  # of the scores, below which a spread is only how they were rounded


@dataclass(frozen=True)
class Difference:
    """What two methods differ by.

    Attributes:
        estimate: mean score of the first minus that of the second.
        seeds: number of runs of each.
        paired: whether runs were compared seed by seed.
        images: number of images that were resampled; 0 if they could not be.
        lacking: why they could not be; nothing if they were.
        unit: what they are (``Runs.unit``).
        seeds_vary: whether runs with other seeds show another value.
        images_vary: whether resamples of the images do.
    """

    estimate: Estimate
    seeds: tuple[int, int]
    paired: bool
    images: int
    lacking: str
    unit: str
    seeds_vary: bool
    images_vary: bool


def summary(runs: Runs, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Return the mean score of a method over its seeds, with its uncertainty.

    Args:
        runs: the method's results.
        resamples: draws of images.
        seed: of the draws.
    """
    scale = _scale(runs)
    parts = _seed_part(runs.scores_S, scale)
    if runs.images > 1:
        parts += _image_part(runs.resampled(resamples, seed).mean(axis=1), runs.images, scale)
    return Estimate(float(runs.scores_S.mean()), parts)


def difference(first: Runs, second: Runs, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """Compare two methods that were scored on the same images, in the same order.

    Args:
        first: results of one method.
        second: of the other; the same images, if both have records.
        resamples: draws of images.
        seed: of the draws.

    Raises:
        DenseCLError: the numbers of images differ.
    """
    if first.images and second.images and first.images != second.images:
        raise DenseCLError(
            f"one method was scored on {first.images} images and the other on {second.images}: "
            "only results on the same images can be compared."
        )
    paired = sorted(first.seeds) == sorted(second.seeds)
    scale = _scale(first, second)
    scores = _by_seed(first), _by_seed(second)
    if paired:
        of_seeds = _seed_part(scores[0] - scores[1], scale)
    else:
        of_seeds = _seed_part(scores[0], scale) + _seed_part(scores[1], scale)
    images = min(first.images, second.images)
    of_images: tuple[Part, ...] = ()
    if images > 1:
        drawn = [runs.resampled(resamples, seed).mean(axis=1) for runs in (first, second)]
        of_images = _image_part(drawn[0] - drawn[1], images, scale)
    lacking = dict.fromkeys(runs.lacking for runs in (first, second) if not runs.images)
    return Difference(
        Estimate(float(scores[0].mean() - scores[1].mean()), of_seeds + of_images),
        (len(first.seeds), len(second.seeds)),
        paired,
        images,
        " and ".join(lacking),
        first.unit if first.images else second.unit,
        bool(of_seeds),
        bool(of_images),
    )


def _by_seed(runs: Runs) -> Array:
    return runs.scores_S[np.argsort(runs.seeds)]


def _scale(*runs: Runs) -> float:
    return max(float(np.abs(each.scores_S).max()) for each in runs)


def _seed_part(values_S: Array, scale: float) -> tuple[Part, ...]:
    if len(values_S) < 2 or np.ptp(values_S) <= _ROUNDING * scale:
        return ()
    return (Part(float(values_S.var(ddof=1)) / len(values_S), len(values_S) - 1),)


def _image_part(drawn_B: Array, images: int, scale: float) -> tuple[Part, ...]:
    """Return what images bring, from the draws in which the score is defined.

    A draw of nothing but images without labels has no score.
    """
    defined = drawn_B[np.isfinite(drawn_B)]
    if len(defined) < 2 or np.ptp(defined) <= _ROUNDING * scale:
        return ()
    # Draws of n out of n vary by (n - 1) / n of what new images would bring.
    return (Part(float(defined.var(ddof=1)) * images / (images - 1), images - 1),)
