"""Logistic regression on frozen vectors over a path of L2 penalties, each solved to convergence.

The objective is the one of scikit-learn's ``LogisticRegression``, which the authors of "How Well Do
Self-Supervised Models Transfer?" (arXiv 2011.13377) use: raw features, an intercept that is free,
and ``sum_i loss_i + l2/2 |W|^2`` with ``C = 1 / l2``. Their solver stops after 100 L-BFGS steps on
badly scaled features, so that their scores at weak penalties are the solver's; ours goes on to the
minimum, which is unique, and gets there in variables in which the curvature is near one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.linear_probe import lbfgs

# Curvature of a mean softmax loss per unit of feature variance, p (1 - p), is between 0 and 1/4.
_CURVATURE = 0.1
_BIAS_SCALE = _CURVATURE**-0.5


def l2_grid(count: int = 45) -> list[float]:
    """Return ``count`` penalties, log-spaced from 1e-6 to 1e5 (arXiv 2011.13377, appendix).

    ``linear.py`` of linusericsson/ssl-transfer has them as ``torch.logspace(-6, 5, 45)``.
    """
    return torch.logspace(-6, 5, count, dtype=torch.float64).tolist()


@dataclass(frozen=True)
class Logistic:
    """A fitted classifier.

    Attributes:
        weight: (K, D) on raw features.
        bias: (K,).
        l2: penalty it was fitted with.
        loss: mean loss plus penalty / N, in nats.
        gradient: largest absolute entry of the gradient in the solver's variables.
        converged: the gradient is within the tolerance.
        evaluations: number of times the objective was computed.
    """

    weight: Tensor
    bias: Tensor
    l2: float
    loss: float
    gradient: float
    converged: bool
    evaluations: int

    def logits(self, features_ND: Tensor) -> Tensor:
        """Return (N, K) logits."""
        return features_ND @ self.weight.T + self.bias


def fit_path(
    features_ND: Tensor,
    targets: Tensor,
    num_classes: int,
    penalties: Sequence[float],
    max_iterations: int = 300,
    tolerance: float = 1e-5,
) -> Iterator[Logistic]:
    """Yield the classifier of each penalty, from the strongest to the weakest, each from the last.

    The warm starts save most of the steps; the answers do not depend on them.

    Args:
        features_ND: (N, D) float32 or float64, as they are.
        targets: (N,) int64 classes for multinomial regression; or (N, K) of 0 and 1 for K
            independent two-class regressions. For these the authors fit a softmax over two rows,
            which equals one logit with half the penalty; so it is here, that a value of the grid
            means what it means for them.
        num_classes: K.
        penalties: l2 > 0 each, in any order.
        max_iterations: L-BFGS steps for each penalty at most.
        tolerance: stop when every entry of the gradient is below this.

    Raises:
        DenseCLError: a penalty is not positive, or fewer than two classes.
    """
    if min(penalties) <= 0:
        raise DenseCLError(
            f"l2 {min(penalties):g} must be positive: the answer is not unique at 0."
        )
    if num_classes < 2:
        raise DenseCLError("a classifier needs at least two classes; all images have the same one.")
    count, dtype = len(features_ND), features_ND.dtype
    wide = features_ND.double()
    mean = wide.mean(dim=0)
    # Principal axes: the penalty, being rotation invariant, stays what it is.
    covariance = torch.atleast_2d(torch.cov(wide.T, correction=0))
    variances, axes = torch.linalg.eigh(covariance)
    rotated = ((wide - mean) @ axes).to(dtype)
    weight, bias = wide.new_zeros(num_classes, wide.shape[1]), wide.new_zeros(num_classes)
    for l2 in sorted(penalties, reverse=True):
        share = l2 / (2 if targets.dim() == 2 else 1) / count
        scale = (_CURVATURE * variances.clamp(min=0) + share).rsqrt()
        problem = _Problem(rotated, targets, share, scale)
        weight, bias, evaluations = problem.solve(weight, bias, max_iterations, tolerance)
        loss, gradient = problem.examine(weight, bias)
        raw = weight @ axes.T
        offset = bias - raw @ mean
        yield Logistic(
            raw.to(dtype), offset.to(dtype), l2, loss, gradient, gradient <= tolerance, evaluations
        )


@dataclass(frozen=True)
class _Problem:
    """Mean loss + share/2 |W|^2 of rotated features, in variables W / scale and b / BIAS_SCALE."""

    features: Tensor
    targets: Tensor
    share: float
    scale: Tensor

    def solve(
        self, weight: Tensor, bias: Tensor, max_iterations: int, tolerance: float
    ) -> tuple[Tensor, Tensor, int]:
        """Return the weight and the bias at the minimum, from those given, and the evaluations."""
        parameters = [weight / self.scale, bias / _BIAS_SCALE]
        evaluations = lbfgs(lambda: self.value(*parameters), parameters, max_iterations, tolerance)
        return parameters[0] * self.scale, parameters[1] * _BIAS_SCALE, evaluations

    def value(self, scaled: Tensor, scaled_bias: Tensor) -> Tensor:
        """Return the objective and leave its gradient in the two variables."""
        with torch.enable_grad():
            inputs = [x.detach().requires_grad_() for x in (scaled, scaled_bias)]
            weight, bias = inputs[0] * self.scale, inputs[1] * _BIAS_SCALE
            dtype = self.features.dtype
            logits = torch.addmm(bias.to(dtype), self.features, weight.T.to(dtype))
            value = _mean_loss(logits, self.targets) + self.share / 2 * weight.square().sum()
            scaled.grad, scaled_bias.grad = torch.autograd.grad(value, inputs)
        return value.detach()

    def examine(self, weight: Tensor, bias: Tensor) -> tuple[float, float]:
        """Return the objective and the largest entry of its gradient."""
        variables = weight / self.scale, bias / _BIAS_SCALE
        value = float(self.value(*variables))
        return value, max(float(x.grad.abs().max()) for x in variables if x.grad is not None)


def _mean_loss(logits_NK: Tensor, targets: Tensor) -> Tensor:
    """Sum in float64: the line search would stall on rounding errors."""
    if targets.dim() == 2:
        losses = F.binary_cross_entropy_with_logits(
            logits_NK, targets.to(logits_NK.dtype), reduction="none"
        ).sum(dim=1)
    else:
        losses = F.cross_entropy(logits_NK, targets, reduction="none")
    return losses.mean(dtype=torch.float64)
