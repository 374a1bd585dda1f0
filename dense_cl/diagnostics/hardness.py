"""Hardness: which negatives a contrastive loss pushes away, as a function of its temperature."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.diagnostics.collapse import at_least_float32

HARDEST = (1, 10, 100)
TEMPERATURES = (0.02, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)
_CHUNK = 512  # anchors whose similarities to all negatives are in memory at once


@torch.no_grad()
def hardness(
    first_ND: Tensor,
    second_ND: Tensor,
    temperatures: Sequence[float] = TEMPERATURES,
    hardest: Sequence[int] = HARDEST,
) -> Tensor:
    r"""Return the share of the repulsive gradient that falls on the hardest negatives.

    The gradient of InfoNCE in the similarity of negative j is proportional to
    :math:`r_j = e^{s_j / T} / \sum_{k \ne i} e^{s_k / T}`, which sums to 1 over the negatives (Wang
    and Liu, arXiv 2012.09740, section 3). This is the mean over anchors of the sum of the k largest
    :math:`r_j`. The negatives of view i of one image are the other views of all other images.

    Args:
        first_ND: (N, D) features of one view of each image, normalised here; N >= 2.
        second_ND: (N, D) of the other view.
        temperatures: T > 0.
        hardest: k; more than the N - 1 negatives there are count as all of them.

    Returns:
        (temperatures, hardest), each in [0, 1]; evenly spread repulsion gives k / (N - 1).
    """
    dtype = at_least_float32(first_ND)
    anchors, others = (F.normalize(x.to(dtype), dim=1) for x in (first_ND, second_ND))
    images = len(anchors)
    counts = torch.tensor([min(k, images - 1) for k in hardest], device=anchors.device)
    shares = anchors.new_zeros(len(temperatures), len(hardest))
    for start in range(0, images, _CHUNK):
        similarity = anchors[start : start + _CHUNK] @ others.T
        rows = torch.arange(len(similarity), device=similarity.device)
        similarity[rows, rows + start] = -torch.inf
        hard = similarity.topk(int(counts.max()), dim=1).values
        for number, temperature in enumerate(temperatures):
            total = (similarity / temperature).logsumexp(dim=1, keepdim=True)
            cumulated = (hard / temperature - total).exp().cumsum(dim=1)
            shares[number] += cumulated[:, counts - 1].sum(dim=0)
    return shares / images


@torch.no_grad()
def similarity_histogram(
    first_ND: Tensor, second_ND: Tensor, bins: int = 50
) -> tuple[Tensor, Tensor, Tensor]:
    """Return how similar positives and negatives are.

    Args:
        first_ND: (N, D) features of one view of each image, normalised here; N >= 2.
        second_ND: (N, D) of the other view.
        bins: of equal width over [-1, 1].

    Returns:
        (bins,) centres; (bins,) shares of the N positives; (bins,) shares of the N (N - 1)
        negatives. Shares sum to 1.
    """
    dtype = at_least_float32(first_ND)
    anchors, others = (F.normalize(x.to(dtype), dim=1) for x in (first_ND, second_ND))

    def count(values: Tensor) -> Tensor:
        # Rounding can put a cosine beyond 1, and histc leaves those out.
        return values.clamp(-1, 1).cpu().histc(bins, -1, 1)

    positives = count((anchors * others).sum(dim=1))
    everything = torch.zeros_like(positives)
    for start in range(0, len(anchors), _CHUNK):
        everything += count(anchors[start : start + _CHUNK] @ others.T)
    # The diagonal is computed by another kernel, so a value on a bin's edge may fall beside it.
    negatives = (everything - positives).clamp(min=0)
    centres = (torch.arange(bins) + 0.5) * (2 / bins) - 1
    return centres, positives / positives.sum(), negatives / negatives.sum()
