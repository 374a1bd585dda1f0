"""A linear per-pixel classifier on frozen feature maps, solved to convergence.

The classifier is a 1x1 convolution on standardised features whose logits are upsampled
bilinearly. With an L2 penalty its cross entropy is a strictly convex function of the weights, so
the probe has one answer: it is found by full-batch L-BFGS instead of a schedule, and depends on
neither a seed nor a learning rate.

Upsampling U and convolution W are both linear, so the term of the true class,
sum_p U(W f)[p, y_p], equals <W, U^T(onehot(y)) f^T>: one constant matrix stands for all labels,
and only the log-sum-exp is evaluated at the resolution of the label cells.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 32  # images whose upsampled logits are in memory at once


@dataclass(frozen=True)
class LinearProbe:
    """A 1x1 convolution on raw feature maps (the standardisation is folded in).

    Attributes:
        weights: (K, C_s) per stage.
        bias: (K,).
    """

    weights: tuple[Tensor, ...]
    bias: Tensor

    def logits(self, stages: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Return (N, K, *size) logits for stage maps (N, C_s, H_s, W_s).

        Each stage's logits are upsampled from its own grid (half-pixel centres), which equals
        classifying the upsampled features and is cheaper.
        """
        total = self.bias.reshape(1, -1, 1, 1)
        for weight, stage in zip(self.weights, stages, strict=True):
            coarse = torch.einsum("kc,nchw->nkhw", weight, stage)
            total = total + functional.interpolate(
                coarse, size=tuple(size), mode="bilinear", align_corners=False
            )
        return total


@dataclass(frozen=True)
class Fit:
    """How the optimisation ended.

    Attributes:
        probe: the classifier.
        loss: penalised mean cross entropy at the end, in nats.
        gradient: largest absolute entry of the gradient in the solver's variables.
        converged: the gradient is within the tolerance.
        evaluations: number of times the objective was computed.
    """

    probe: LinearProbe
    loss: float
    gradient: float
    converged: bool
    evaluations: int


def fit_linear_probe(
    stages: Sequence[Tensor],
    labels: Sequence[Tensor],
    num_classes: int,
    l2: float,
    grid: tuple[int, int],
    max_iterations: int = 300,
    tolerance: float = 1e-4,
) -> Fit:
    """Minimise mean cross entropy + l2/2 * sum of squared weights (the bias is free).

    The penalty acts on the weights of standardised features: a raw penalty would mean something
    different for each backbone, whose feature scales differ by orders of magnitude.

    Args:
        stages: raw feature maps (N, C_s, H_s, W_s) of the training images, one per stage, all
            float32 or all float64.
        labels: N label maps (h, w) of any size, integer classes, negative = void.
        num_classes: K.
        l2: strength of the penalty, > 0.
        grid: rows and columns of label cells laid over each image. All pixels of a cell are
            scored with the logits at its centre; every image has the same total area.
        max_iterations: L-BFGS iterations at most.
        tolerance: stop when every entry of the gradient is below this.
    """
    spaces = [_Space.fit(stage, l2) for stage in stages]
    inputs = [space.project(stage) for space, stage in zip(spaces, stages, strict=True)]
    resizers = [_Resize.between(stage.shape[2:], grid, stage.dtype) for stage in stages]
    dtype = inputs[0].dtype
    label_sums, label_counts, counted = _label_sums(inputs, resizers, labels, num_classes, grid)
    pixels = counted.sum(dtype=torch.float64)
    # Parameters and sums are float64, or the line search would stall on rounding errors.
    weights = [torch.zeros(num_classes, x.shape[1], dtype=torch.float64) for x in inputs]
    bias = torch.zeros(num_classes, dtype=torch.float64)
    parameters = [tensor.requires_grad_() for tensor in (*weights, bias)]

    def objective() -> Tensor:
        """Return the value and leave its gradient in the parameters."""
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        value = -(bias @ label_counts) / pixels
        for weight, sums, space in zip(weights, label_sums, spaces, strict=True):
            value = value - (weight * sums).sum() / pixels
            value = value + 0.5 * l2 * (weight.square() * space.penalty).sum()
        value.backward()
        value = value.detach()
        for start in range(0, len(counted), CHUNK):
            part = slice(start, start + CHUNK)
            logits = bias.to(dtype).reshape(1, -1, 1, 1)
            for x, weight, resize in zip(inputs, weights, resizers, strict=True):
                logits = logits + resize(torch.einsum("kc,nchw->nkhw", weight.to(dtype), x[part]))
            term = (counted[part] * logits.logsumexp(1)).sum(dtype=torch.float64) / pixels
            term.backward()
            value = value + term.detach()
        return value

    evaluations = lbfgs(objective, parameters, max_iterations, tolerance)
    loss = float(objective())
    gradient = max(float(p.grad.abs().max()) for p in parameters if p.grad is not None)
    raw = [space.to_raw(w.detach()) for space, w in zip(spaces, weights, strict=True)]
    shift = torch.stack([offset for _, offset in raw]).sum(0)
    kernels = tuple(weight.to(dtype) for weight, _ in raw)
    probe = LinearProbe(kernels, (bias.detach() + shift).to(dtype))
    return Fit(probe, loss, gradient, gradient <= tolerance, evaluations)


def label_cells(labels: Tensor, grid: tuple[int, int], num_classes: int) -> Tensor:
    """Return the share of each class in each cell of a grid over one label map.

    Args:
        labels: (h, w) integer classes; negative values are void.
        grid: rows and columns.
        num_classes: K.

    Returns:
        (K, *grid) float32 in [0, 1]; a cell sums to 1 minus its void share.
    """
    shifted = functional.one_hot(labels.long().clamp(min=-1) + 1, num_classes + 1)
    planes = shifted[..., 1:].permute(2, 0, 1).float()
    return functional.adaptive_avg_pool2d(planes, grid)


@dataclass(frozen=True)
class _Space:
    """The solver's variables: standardised features, rotated to their principal axes and scaled.

    This only preconditions the problem. Features of frozen backbones are strongly correlated;
    in these variables the curvature is near one in every direction and L-BFGS needs tens of
    iterations instead of thousands. The penalty on the standardised weights stays what it was:
    in the new variables it is diagonal.
    """

    mean: Tensor
    axes: Tensor  # (C, C), columns map standardised features to variables
    penalty: Tensor  # (C,)

    @classmethod
    def fit(cls, stage: Tensor, l2: float) -> "_Space":
        """Measure (N, C, H, W) features; constant channels get no say."""
        flat = stage.transpose(0, 1).flatten(1).double()
        mean, std = flat.mean(1), flat.std(1, correction=0)
        scale = torch.where(std > 1e-6 * std.max(), 1 / std, 0.0)
        covariance = torch.cov(flat, correction=0) * scale[:, None] * scale
        values, vectors = torch.linalg.eigh(covariance)
        # Softmax curvature is p(1-p): about 0.1 for a classifier that has learnt something.
        curvature = 0.1 * values.clamp(min=0) + l2
        axes = scale[:, None] * vectors / curvature.sqrt()
        return cls(mean, axes, 1 / curvature)

    def project(self, stage: Tensor) -> Tensor:
        """Return the variables of (N, C, H, W) features, same shape."""
        centred = stage - self.mean.to(stage.dtype).reshape(1, -1, 1, 1)
        return torch.einsum("ca,nchw->nahw", self.axes.to(stage.dtype), centred).contiguous()

    def to_raw(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (K, C) weight on raw features and the (K,) bias it brings along."""
        raw = weight @ self.axes.T
        return raw, -(raw @ self.mean)


@dataclass(frozen=True)
class _Resize:
    """Bilinear resizing (half-pixel centres) as two matrix products: fast in both directions."""

    rows: Tensor
    columns: Tensor

    @classmethod
    def between(cls, source: Sequence[int], target: Sequence[int], dtype: torch.dtype) -> "_Resize":
        sizes = zip(source, target, strict=True)
        return cls(*(_interpolation_matrix(a, b).to(dtype) for a, b in sizes))

    def __call__(self, maps: Tensor) -> Tensor:
        return self.rows @ (maps @ self.columns.T)

    def transpose(self, maps: Tensor) -> Tensor:
        return self.rows.T @ (maps @ self.columns)


def _interpolation_matrix(source: int, target: int) -> Tensor:
    """(target, source) weights of 1-D linear interpolation."""
    unit = torch.eye(source)[None]
    return functional.interpolate(unit, size=target, mode="linear", align_corners=False)[0].T


def _label_sums(
    inputs: Sequence[Tensor],
    resizers: Sequence[_Resize],
    labels: Sequence[Tensor],
    num_classes: int,
    grid: tuple[int, int],
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Reduce the labels to what the objective needs of them.

    Returns:
        sum_n U^T(cells_n) f_n^T for each stage, (K, C_s); the class totals (K,); the labelled
        share of each cell, (N, *grid).
    """
    sums = [torch.zeros(num_classes, x.shape[1], dtype=torch.float64) for x in inputs]
    totals = torch.zeros(num_classes, dtype=torch.float64)
    counted = []
    for start in range(0, len(labels), CHUNK):
        part = slice(start, start + CHUNK)
        cells = torch.stack([label_cells(y, grid, num_classes) for y in labels[part]])
        cells = cells.to(inputs[0].dtype)
        for x, resize, total in zip(inputs, resizers, sums, strict=True):
            total += torch.einsum("nkhw,nchw->kc", resize.transpose(cells), x[part])
        totals += cells.sum(dim=(0, 2, 3))
        counted.append(cells.sum(1))
    return sums, totals, torch.cat(counted)


def lbfgs(
    objective: Callable[[], Tensor], parameters: list[Tensor], max_iterations: int, tolerance: float
) -> int:
    """Minimise in place; return how often the objective was computed.

    Args:
        objective: returns the value and leaves its gradient in the parameters.
        parameters: float64, where to begin.
        max_iterations: steps at most.
        tolerance: stop when every entry of the gradient is below this.
    """
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=max_iterations,
        max_eval=2 * max_iterations,
        history_size=30,
        tolerance_grad=tolerance,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )
    optimizer.step(objective)
    return int(optimizer.state[parameters[0]]["func_evals"])
