"""Logistic regression on frozen vectors over a path of L2 penalties, each solved to convergence.

The objective is the one of scikit-learn's ``LogisticRegression``, which the authors of "How Well Do
Self-Supervised Models Transfer?" (arXiv 2011.13377) use: an intercept that is free, and
``sum_i loss_i + l2/2 |W|^2`` with ``C = 1 / l2``. Their solver stops after 100 L-BFGS steps on
badly scaled features, so that their scores at weak penalties are the solver's; ours goes on to the
minimum (``linear_solver``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.evaluation.linear_fit import LinearFit
from dense_cl.evaluation.linear_solver import solve_path

_CHUNK = 1 << 14  # images whose logits are in memory at once


def l2_grid(count: int = 45) -> list[float]:
    """Return ``count`` penalties, log-spaced from 1e-6 to 1e5 (arXiv 2011.13377, appendix).

    ``linear.py`` of linusericsson/ssl-transfer has them as ``torch.logspace(-6, 5, 45)``.
    """
    return torch.logspace(-6, 5, count, dtype=torch.float64).tolist()


def fit_vectors(
    features_NC: Tensor,
    targets: Tensor,
    num_classes: int,
    penalties: Sequence[float],
    *,
    standardise: bool,
    max_iterations: int = 300,
    tolerance: float = 1e-4,
) -> Iterator[LinearFit]:
    """Minimise mean loss + l2/2 |W|^2 for each penalty, from the strongest to the weakest.

    Args:
        features_NC: (N, C) float32 or float64.
        targets: (N,) int64 classes for multinomial regression; or (N, K) of 0 and 1 for K
            independent two-class regressions, whose losses are added.
        num_classes: K.
        penalties: l2 > 0 each, in any order.
        standardise: penalise the weights of features of variance 1, not those of raw ones.
        max_iterations: L-BFGS steps for each penalty at most.
        tolerance: stop when every entry of the gradient is below this.

    Raises:
        DenseCLError: see ``solve_path``.
    """
    count, several = len(features_NC), targets.dim() == 2
    truth_NK = targets if several else F.one_hot(targets, num_classes)
    truth_N1K = truth_NK[:, None].to(features_NC.dtype)

    def loss(part: slice, logits: list[Tensor]) -> tuple[float, list[Tensor]]:
        truth = truth_N1K[part]
        if several:
            losses = F.binary_cross_entropy_with_logits(logits[0], truth, reduction="none")
            mean = logits[0].sigmoid()
        else:
            logs = logits[0].log_softmax(dim=-1)
            losses, mean = -truth * logs, logs.exp()
        return float(losses.sum(dtype=torch.float64)) / count, [(mean - truth) / count]

    return solve_path(
        [features_NC[:, None]], loss, num_classes, penalties, standardise=standardise,
        chunk=_CHUNK, max_iterations=max_iterations, tolerance=tolerance,
    )  # fmt: skip


def fit_path(
    features_NC: Tensor,
    targets: Tensor,
    num_classes: int,
    penalties: Sequence[float],
    max_iterations: int = 300,
    tolerance: float = 1e-5,
) -> Iterator[LinearFit]:
    """Fit raw features with penalties as scikit-learn and the authors count them.

    Like ``fit_vectors`` without standardising, but a penalty belongs to the sum of the losses. For
    (N, K) targets the authors fit a softmax over two rows to each class, which equals one logit
    with half the penalty; so it is here, that a value of the grid means what it means for them.
    Computed in float64: where weak penalties let the loss vanish, float32 does not tell the
    minimum from its surroundings.
    """
    rows = 2 if targets.dim() == 2 else 1
    share = {l2 / rows / len(features_NC): l2 for l2 in penalties}
    fits = fit_vectors(
        features_NC.double(), targets, num_classes, list(share), standardise=False,
        max_iterations=max_iterations, tolerance=tolerance,
    )  # fmt: skip
    dtype = features_NC.dtype
    return (
        replace(
            fit,
            weights=tuple(weight.to(dtype) for weight in fit.weights),
            bias=fit.bias.to(dtype),
            l2=share[fit.l2],
        )
        for fit in fits
    )
