"""Linear classifiers of frozen features, solved to convergence over a path of L2 penalties.

The one solver behind ``logistic`` (a vector of each image) and ``linear_probe`` (feature maps). It
minimises over the weights W and the bias b, which is free,

    loss(X W^T + b) + l2/2 |W|^2

This is convex and has one minimum, so that a score depends on no learning rate, no number of epochs
and no seed. Features of frozen backbones are strongly correlated, and L-BFGS would need thousands
of steps. It is given variables in which the curvature is near one in every direction, and needs
tens: coordinates on the principal axes, which leave the penalty what it is, times a scale.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.linear_fit import LinearFit, check_penalties
from dense_cl.evaluation.principal_axes import PrincipalAxes

# Of a mean logistic loss by feature variance: p (1 - p), which is between 0 and 1/4.
_CURVATURE = 0.1
_RELATIVE = 1e-2  # largest slope by value, see ``solve_path``
_HISTORY = 10  # steps that L-BFGS remembers; more cost more time than they save

Loss = Callable[[slice, list[Tensor]], tuple[float, list[Tensor]]]
"""Maps a part of the images and its logits, (n, R_s, K) of each stage, to the part's share of the
loss and the gradient of that by the logits."""


def solve_path(
    stages: Sequence[Tensor],
    loss: Loss,
    num_classes: int,
    penalties: Sequence[float],
    *,
    standardise: bool,
    chunk: int,
    max_iterations: int,
    tolerance: float,
) -> Iterator[LinearFit]:
    """Yield the classifier of each penalty, from the strongest to the weakest, each from the last.

    The warm starts save most of the steps; the answers do not depend on them.

    Args:
        stages: (N, R_s, C_s) features of N images at R_s places, all float32 or all float64; every
            stage has weights of its own.
        loss: convex in the logits, and about as curved as a mean logistic loss. The bias is added
            to the logits of the first stage.
        num_classes: K.
        penalties: l2 > 0 each, in any order.
        standardise: penalise the weights of features of variance 1 instead of those of features as
            they are; constant ones get no weight.
        chunk: images whose logits are in memory at once.
        max_iterations: L-BFGS steps for each penalty at most.
        tolerance: stop when every entry of the gradient is below this, and below a hundredth of
            the value: where weak penalties let the loss vanish, so does its gradient, far from
            the minimum.

    Raises:
        DenseCLError: a penalty is not positive, fewer than two classes, or features that are not
            finite.
    """
    check_penalties(penalties)
    if num_classes < 2:
        raise DenseCLError("a classifier needs at least two classes; all images have the same one.")
    axes = [PrincipalAxes.of(stage, standardise, chunk) for stage in stages]
    inputs = [each.project(stage, chunk) for each, stage in zip(axes, stages, strict=True)]
    ones = torch.ones(num_classes, dtype=torch.float64)
    variance = torch.cat([*(each.variance.repeat(num_classes) for each in axes), ones])
    penalised = torch.ones_like(variance)
    penalised[-num_classes:] = 0
    data = _DataTerm(inputs, loss, num_classes, chunk)
    solution = torch.zeros_like(variance)
    for l2 in sorted(penalties, reverse=True):
        found = _minimise(data, solution, l2 * penalised, variance, max_iterations, tolerance)
        solution = found.point
        *weights, bias = data.unpacked(solution)
        raw = [each.raw(weight) for each, weight in zip(axes, weights, strict=True)]
        dtype = stages[0].dtype
        yield LinearFit(
            tuple(weight.to(dtype) for weight, _ in raw),
            torch.stack([bias, *(shift for _, shift in raw)]).sum(dim=0).to(dtype),
            l2, found.value, found.slope, found.converged, found.evaluations,
        )  # fmt: skip


@dataclass(frozen=True)
class _Minimum:
    """Where L-BFGS stopped: the point, its value and largest slope, and whether it is there."""

    point: Tensor
    value: float
    slope: float
    converged: bool
    evaluations: int


def _minimise(
    data: Callable[[Tensor], tuple[float, Tensor]],
    start: Tensor,
    ridge: Tensor,
    variance: Tensor,
    max_iterations: int,
    tolerance: float,
) -> _Minimum:
    """Return where ``data(x) + ridge/2 x^2`` is least."""
    # The curvature falls with the loss.
    curvature = _CURVATURE * min(1.0, max(data(start)[0], 1e-8))
    scale = (curvature * variance + ridge).rsqrt()

    def objective(variables: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        point = torch.from_numpy(variables) * scale
        value, gradient = data(point)
        value += float(ridge @ point.square()) / 2
        return value, ((gradient + ridge * point) * scale).numpy()

    variables, wanted, evaluations = (start / scale).numpy(), tolerance, 1
    while True:
        found = minimize(
            objective,
            variables,
            jac=True,
            method="L-BFGS-B",
            options={
                "maxcor": _HISTORY,
                "maxiter": max_iterations,
                "maxfun": 2 * max_iterations,
                "gtol": wanted,
                "ftol": 0.0,  # a small step is no sign of the minimum
            },
        )
        evaluations += int(found.nfev)
        variables, slope = found.x, float(np.abs(found.jac).max())
        reached, wanted = slope <= wanted, min(tolerance, _RELATIVE * float(found.fun))
        # Not reached: no steps are left, or none helps in the features' precision.
        if not reached or slope <= wanted:
            point = torch.from_numpy(variables) * scale
            converged = slope <= wanted and bool(np.isfinite(found.fun))
            return _Minimum(point, float(found.fun), slope, converged, evaluations)


@dataclass(frozen=True)
class _DataTerm:
    """The loss and its gradient by all weights and the bias, in one float64 vector.

    Logits are computed in the features' own precision, sums in float64: the line search would stall
    on rounding errors.
    """

    inputs: list[Tensor]
    loss: Loss
    num_classes: int
    chunk: int

    def unpacked(self, point: Tensor) -> list[Tensor]:
        """Return the weight (K, C_s) of each stage and the bias (K,)."""
        widths = [x.shape[2] for x in self.inputs]
        parts = point.split([self.num_classes * width for width in (*widths, 1)])
        return [part.view(self.num_classes, -1) for part in parts[:-1]] + [parts[-1]]

    def __call__(self, point: Tensor) -> tuple[float, Tensor]:
        *weights, bias = (part.to(self.inputs[0].dtype) for part in self.unpacked(point))
        gradient = torch.zeros_like(point)
        *totals, bias_total = self.unpacked(gradient)
        value = 0.0
        for start in range(0, len(self.inputs[0]), self.chunk):
            part = slice(start, start + self.chunk)
            features = [x[part] for x in self.inputs]
            logits = [x @ weight.T for x, weight in zip(features, weights, strict=True)]
            logits[0] += bias
            share, slopes = self.loss(part, logits)
            value += share
            for x, slope, total in zip(features, slopes, totals, strict=True):
                total += slope.flatten(0, 1).T @ x.flatten(0, 1)
            bias_total += slopes[0].sum(dim=(0, 1), dtype=torch.float64)
        return value, gradient
