"""Linear classifiers of frozen features: what fitting gives, and the choice among penalties."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from dense_cl.errors import DenseCLError


@dataclass(frozen=True)
class LinearFit:
    """A fitted classifier.

    Attributes:
        weights: (K, C_s) of each stage, on raw features.
        bias: (K,).
        l2: penalty it was fitted with.
        loss: the objective at the end, in nats.
        gradient: largest absolute entry of its gradient in the solver's variables.
        converged: the gradient is within the tolerance.
        evaluations: number of times the objective was computed.
    """

    weights: tuple[Tensor, ...]
    bias: Tensor
    l2: float
    loss: float
    gradient: float
    converged: bool
    evaluations: int

    def logits(self, features_NC: Tensor) -> Tensor:
        """Return (N, K) logits of vectors; the classifier has a single stage."""
        (weight,) = self.weights
        return features_NC @ weight.T + self.bias


def check_penalties(penalties: Sequence[float]) -> None:
    """Check that every penalty leaves one answer.

    Raises:
        DenseCLError: one is not a positive number.
    """
    wrong = [l2 for l2 in penalties if not 0 < l2 < math.inf]
    if wrong:
        raise DenseCLError(f"l2 {wrong[0]:g} must be positive: the answer is not unique at 0.")


def best_fit(
    fits: Iterable[LinearFit],
    penalties: Sequence[float],
    score: Callable[[LinearFit], float] | None,
    progress: Callable[[str], None],
) -> tuple[LinearFit, dict[float, float]]:
    """Choose among the fits of several penalties.

    Args:
        fits: one for each penalty.
        penalties: in order of preference where scores are equal.
        score: of a fit on validation data; None where there is nothing to choose.
        progress: called with a line of text after each fit.

    Returns:
        The fit of the highest score, and the score of each penalty.

    Raises:
        DenseCLError: scores are no numbers.
    """
    by_penalty: dict[float, LinearFit] = {}
    scores: dict[float, float] = {}
    for number, fit in enumerate(fits, start=1):
        line = f"penalty {number} of {len(penalties)}, {fit.l2:.3g}: loss {fit.loss:.4f}"
        if score is not None:
            scores[fit.l2] = score(fit)
            if math.isnan(scores[fit.l2]):
                raise DenseCLError(
                    "the validation images have no label that the metric could count, so no penalty"
                    " can be chosen. Give others, or none: then a part of the training images is"
                    " taken."
                )
            line += f", validation {100 * scores[fit.l2]:.1f}"
        progress(line + ("" if fit.converged else f" (gradient {fit.gradient:.1g} left)"))
        by_penalty[fit.l2] = fit
    best = max(penalties, key=lambda l2: scores.get(l2, 0.0))
    return by_penalty[best], {l2: scores[l2] for l2 in penalties if l2 in scores}
