"""A number with everything that is known about its uncertainty."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.stats import nct, t

from dense_cl.errors import DenseCLError

ALPHA = 0.05
POWER = 0.8
_LEAST_LOG_P = -340.0  # exp of it is the smallest p-value; below, SciPy's quantiles of t are wrong


@dataclass(frozen=True)
class Part:
    """One independent source of error.

    Attributes:
        variance: its share of the variance of the estimate, more than 0.
        df: degrees of freedom that the variance is known with.
    """

    variance: float
    df: float

    def __post_init__(self) -> None:
        if not self.variance > 0:  # nor is NaN
            raise DenseCLError(
                f"a variance of {self.variance} says nothing about an error; leave the part out."
            )


@dataclass(frozen=True)
class Estimate:
    """A value whose error is the sum of independent parts, each of estimated variance.

    With few seeds the variance between seeds is known to one or two degrees of freedom, that
    between images to hundreds. Normal quantiles would be far too short then, and the t quantile of
    Satterthwaite's degrees of freedom still is: two seeds that differ more than images do give
    false alarms in 14 % where 5 % were asked for, averaged quantiles after Cochran in 7 %
    (``benchmarks/statistics_known_answer.py``). Here each part has its own interval, by Student's
    t, and the squares of their lengths are added (Howe, JASA 69, 1974; "MOVER" in Zou and Donner,
    Statistics in Medicine 27, 2008). This keeps the level at any ratio of the parts, and is
    Student's t if there is one part only.

    Attributes:
        value: the estimate.
        parts: the sources of error. None at all means that nothing is known about the error: the
            interval is infinite.
    """

    value: float
    parts: tuple[Part, ...]

    @property
    def standard_error(self) -> float:
        """Root of the summed variances; infinite if nothing is known."""
        if not self.parts:
            return math.inf
        return math.sqrt(sum(part.variance for part in self.parts))

    def interval(self, alpha: float = ALPHA) -> tuple[float, float]:
        """Return the limits that hold the true value with a probability of 1 - alpha."""
        reach = self._reach(lambda df: float(t.isf(alpha / 2, df)))
        return self.value - reach, self.value + reach

    def p_value(self) -> float:
        """Return the smallest alpha whose interval leaves out 0, in (0, 1]."""
        if self.value == 0 or not self.parts:
            return 1.0

        def excess(log_p: float) -> float:
            quantile = self._reach(lambda df: float(t.isf(math.exp(log_p) / 2, df)))
            return quantile - abs(self.value)

        if excess(_LEAST_LOG_P) < 0:
            return math.exp(_LEAST_LOG_P)
        return math.exp(brentq(excess, _LEAST_LOG_P, 0.0))

    def detectable(self, alpha: float = ALPHA, power: float = POWER) -> float:
        """Return the true difference that a repetition would find with probability ``power``.

        For each part it is the shift of the noncentral t distribution at which the two-sided test
        at level ``alpha`` rejects that often; the parts are put together as in ``interval``. The
        standard error of this sample stands for that of the repetition.
        """
        return self._reach(lambda df: _noncentrality(alpha, power, df))

    def _reach(self, quantile: Callable[[float], float]) -> float:
        """Return the root of the summed squares of quantile times standard error of the parts."""
        if not self.parts:
            return math.inf
        return math.sqrt(sum(part.variance * quantile(part.df) ** 2 for part in self.parts))


def _noncentrality(alpha: float, power: float, df: float) -> float:
    critical = float(t.isf(alpha / 2, df))
    if df > 1000:  # nct is slow and inexact there, and normal anyway
        return critical + float(t.isf(1 - power, df))

    def missing(shift: float) -> float:
        return power - float(nct.sf(critical, df, shift))

    return float(brentq(missing, 0.0, 4 * critical + 4))
