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
"""

from dataclasses import dataclass

import numpy as np

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.statistics.estimate import Estimate, Part
from dense_cl.evaluation.statistics.runs import Array, Runs

RESAMPLES = 1000


@dataclass(frozen=True)
class Difference:
    """What two methods differ by.

    Attributes:
        estimate: mean score of the first minus that of the second.
        seeds: number of runs of each.
        paired: whether runs were compared seed by seed.
        images: number of images that were resampled; 0 if they could not be.
        lacking: why they could not be; nothing if they were.
    """

    estimate: Estimate
    seeds: tuple[int, int]
    paired: bool
    images: int
    lacking: str


def summary(runs: Runs, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Return the mean score of a method over its seeds, with its uncertainty.

    Args:
        runs: the method's results.
        resamples: draws of images.
        seed: of the draws.
    """
    parts = _seed_part(runs.scores_S)
    if runs.images > 1:
        parts += (_image_part(runs.resampled(resamples, seed).mean(axis=1), runs.images),)
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
    if paired:
        parts = _seed_part(_by_seed(first) - _by_seed(second))
    else:
        parts = _seed_part(first.scores_S) + _seed_part(second.scores_S)
    images = min(first.images, second.images)
    if images > 1:
        drawn = [runs.resampled(resamples, seed).mean(axis=1) for runs in (first, second)]
        parts += (_image_part(drawn[0] - drawn[1], images),)
    value = float(first.scores_S.mean() - second.scores_S.mean())
    seeds = len(first.seeds), len(second.seeds)
    lacking = dict.fromkeys(runs.lacking for runs in (first, second) if not runs.images)
    return Difference(Estimate(value, parts), seeds, paired, images, " and ".join(lacking))


def _by_seed(runs: Runs) -> Array:
    return runs.scores_S[np.argsort(runs.seeds)]


def _seed_part(values_S: Array) -> tuple[Part, ...]:
    count = len(values_S)
    return (Part(float(values_S.var(ddof=1)) / count, count - 1),) if count > 1 else ()


def _image_part(drawn_B: Array, images: int) -> Part:
    return Part(float(drawn_B.var(ddof=1)), images - 1)
