"""Sigmoid focal loss (arXiv 1708.02002, equation 5), in the form of mmcv's extension."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.transfer.mmcv_ops.precision import widen


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``output`` with the loss of every logit.

    With p = sigmoid(logit): -alpha (1-p)^gamma log p for the target class, and
    -(1-alpha) p^gamma log(1-p) for the others.

    Args:
        input: (N, C) logits.
        target: (N,) classes in [0, C]; C is background, a negative for every class.
        weight: (C,) factor by target class, or empty for none. Background, which mmcv reads past
            the end of it, counts once.
        output: (N, C), filled in place.
        gamma: focusing exponent.
        alpha: share of the positive term.
    """
    logit, positive = _logit_and_positive(input, target)
    p = logit.sigmoid()
    positive_term = -alpha * (1 - p) ** gamma * F.logsigmoid(logit)
    negative_term = -(1 - alpha) * p**gamma * F.logsigmoid(-logit)
    output.copy_(torch.where(positive, positive_term, negative_term) * _by_row(weight, target))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Fill ``grad_input`` (N, C) with the derivative of each loss by its logit."""
    logit, positive = _logit_and_positive(input, target)
    p = logit.sigmoid()
    positive_term = -alpha * (1 - p) ** gamma * (1 - p - gamma * p * F.logsigmoid(logit))
    negative_term = (1 - alpha) * p**gamma * (p - gamma * (1 - p) * F.logsigmoid(-logit))
    grad_input.copy_(torch.where(positive, positive_term, negative_term) * _by_row(weight, target))


def _logit_and_positive(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    classes = torch.arange(input.shape[1], device=input.device)
    return widen(input), target[:, None] == classes


def _by_row(weight: Tensor, target: Tensor) -> Tensor | float:
    if weight.numel() == 0:
        return 1.0
    return F.pad(widen(weight), (0, 1), value=1.0)[target][:, None]
