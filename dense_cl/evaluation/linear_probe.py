"""A linear per-pixel classifier on frozen feature maps, solved to convergence (``linear_solver``).

The classifier is a 1x1 convolution on standardised features whose logits are upsampled bilinearly
to the label cells. Upsampling U is linear, so the term of the labels Y is that of U^T Y and the
logits before it: labels need no more memory than logits do.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.linear_fit import LinearFit
from dense_cl.evaluation.linear_solver import solve_path

_CHUNK = 32  # images whose upsampled logits are in memory at once


def fit_maps(
    stages: Sequence[Tensor],
    labels: Iterable[Tensor],
    num_classes: int,
    penalties: Sequence[float],
    grid: tuple[int, int],
    max_iterations: int = 300,
    tolerance: float = 1e-4,
) -> Iterator[LinearFit]:
    """Minimise mean cross entropy + l2/2 * sum of squared weights (the bias is free).

    The penalty acts on the weights of standardised features: a raw penalty would mean something
    different for each backbone, whose feature scales differ by orders of magnitude.

    Args:
        stages: raw feature maps (N, C_s, H_s, W_s) of the training images, one per stage, all
            float32 or all float64.
        labels: N label maps (h, w) of any size, integer classes, negative = void.
        num_classes: K.
        penalties: l2 > 0 each, in any order; fits come from the strongest to the weakest.
        grid: rows and columns of label cells laid over each image. All pixels of a cell are
            scored with the logits at its centre; every image has the same total area.
        max_iterations: L-BFGS iterations for each penalty at most.
        tolerance: stop when every entry of the gradient is below this.

    Raises:
        DenseCLError: all pixels are void; and see ``solve_path``.
    """
    dtype = stages[0].dtype
    resizers = [_Resize.between(stage.shape[2:], grid, dtype) for stage in stages]
    counted, sums = _label_sums(resizers, labels, num_classes, grid, dtype)
    pixels = float(counted.sum(dtype=torch.float64))
    if not pixels:
        raise DenseCLError("all pixels of the training masks are void: there is nothing to learn.")

    def loss(part: slice, logits: list[Tensor]) -> tuple[float, list[Tensor]]:
        pairs = zip(resizers, logits, strict=True)
        total, mean = _log_partition(torch.stack([resize(z) for resize, z in pairs]).sum(dim=0))
        weight = counted[part]
        value, slopes = (weight * total).sum(), []
        for resize, z, labelled in zip(resizers, logits, sums, strict=True):
            value = value - (labelled[part] * z).sum(dtype=torch.float64)
            slopes.append((resize.transpose(weight * mean) - labelled[part]) / pixels)
        return float(value) / pixels, slopes

    return solve_path(
        [stage.flatten(2).transpose(1, 2) for stage in stages], loss, num_classes, penalties,
        standardise=True, chunk=_CHUNK, max_iterations=max_iterations, tolerance=tolerance,
    )  # fmt: skip


def pixel_logits(fit: LinearFit, stages: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Return (N, K, *size) logits of stage maps (N, C_s, H_s, W_s).

    Each stage's logits are upsampled from its own grid (half-pixel centres), which equals
    classifying the upsampled features and is cheaper.
    """
    total = fit.bias.reshape(1, -1, 1, 1)
    for weight, stage in zip(fit.weights, stages, strict=True):
        coarse = torch.einsum("kc,nchw->nkhw", weight, stage)
        total = total + F.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
    return total


def label_cells(labels: Tensor, grid: tuple[int, int], num_classes: int) -> Tensor:
    """Return the share of each class in each cell of a grid over one label map.

    Args:
        labels: (h, w) integer classes; negative values are void.
        grid: rows and columns.
        num_classes: K.

    Returns:
        (K, *grid) float32 in [0, 1]; a cell sums to 1 minus its void share.
    """
    shifted = F.one_hot(labels.long().clamp(min=-1) + 1, num_classes + 1)
    planes = shifted[..., 1:].permute(2, 0, 1).float()
    return F.adaptive_avg_pool2d(planes, grid)


def _log_partition(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return log sum exp of the last axis (..., 1), in float64, and its gradient, (..., K).

    The largest logit is kept apart until it is float64: a float32 sum would lose small losses.
    """
    largest = logits.amax(dim=-1, keepdim=True)
    exponential = (logits - largest).exp_()
    total = exponential.sum(dim=-1, keepdim=True)
    return total.log().double() + largest, exponential / total


def _label_sums(
    resizers: Sequence["_Resize"],
    labels: Iterable[Tensor],
    num_classes: int,
    grid: tuple[int, int],
    dtype: torch.dtype,
) -> tuple[Tensor, list[Tensor]]:
    """Return the labelled share of each cell (N, *grid, 1), and U^T Y of each stage (N, R_s, K)."""
    counted: list[Tensor] = []
    sums: list[list[Tensor]] = [[] for _ in resizers]
    for label in labels:
        cells = label_cells(label, grid, num_classes).permute(1, 2, 0)[None].to(dtype).contiguous()
        counted.append(cells.sum(dim=3, keepdim=True))
        for each, resize in zip(sums, resizers, strict=True):
            each.append(resize.transpose(cells))
    return torch.cat(counted), [torch.cat(each) for each in sums]


@dataclass(frozen=True)
class _Resize:
    """Bilinear resizing (half-pixel centres) as two matrix products: fast in both directions."""

    rows: Tensor  # (H, h)
    columns: Tensor  # (W, w)

    @classmethod
    def between(cls, source: Sequence[int], target: Sequence[int], dtype: torch.dtype) -> "_Resize":
        sizes = zip(source, target, strict=True)
        return cls(*(_interpolation_matrix(a, b).to(dtype) for a, b in sizes))

    def __call__(self, places: Tensor) -> Tensor:
        """Map (n, h * w, K) to (n, H, W, K)."""
        wide = self.columns @ places.unflatten(1, (self.rows.shape[1], -1))
        return (self.rows @ wide.flatten(2)).unflatten(2, (len(self.columns), -1))

    def transpose(self, cells: Tensor) -> Tensor:
        """Map (n, H, W, K) to (n, h * w, K)."""
        wide = (self.rows.T @ cells.flatten(2)).unflatten(2, (len(self.columns), -1))
        return (self.columns.T @ wide).flatten(1, 2)


def _interpolation_matrix(source: int, target: int) -> Tensor:
    """(target, source) weights of 1-D linear interpolation."""
    unit = torch.eye(source)[None]
    return F.interpolate(unit, size=target, mode="linear", align_corners=False)[0].T
