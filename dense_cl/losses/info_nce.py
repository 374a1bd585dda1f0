"""InfoNCE of queries against one positive key each and a queue of negatives (MoCo v1, v2)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.losses.checks import check_alike, check_temperature
from dense_cl.losses.queue_logsumexp import queue_logsumexp


class InfoNCETerms(NamedTuple):
    """The loss and what it says about the queries.

    Attributes:
        loss: scalar.
        positive_similarity: mean cosine of query and positive key, no gradient.
        queue_accuracy: share of queries whose positive beats every negative, no gradient.
    """

    loss: Tensor
    positive_similarity: Tensor
    queue_accuracy: Tensor


def unit(features: Tensor) -> Tensor:
    """L2-normalise over dimension 1, in float32 at least (half precision rounds the norm)."""
    return F.normalize(features.to(torch.promote_types(features.dtype, torch.float32)), dim=1)


def weighted_mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Mean of ``values`` by ``weight`` of the same shape; exactly 0 when every weight is 0."""
    if weight is None:
        return values.mean()
    weight = weight.to(values.dtype)
    # The weights are divided, not the sum: its gradient over a tiny total could be infinite.
    share = weight / weight.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return (values * share).sum()


def info_nce(
    query_ND: Tensor,
    key_ND: Tensor,
    negatives_KD: Tensor,
    temperature: float,
    weight_N: Tensor | None = None,
) -> InfoNCETerms:
    r"""Contrast every query with its key and the queue.

    .. math:: L_n = -\log \frac{e^{q_n \cdot k_n / T}}{e^{q_n \cdot k_n / T} + \sum_m
        e^{q_n \cdot m / T}} = \mathrm{softplus}\left(\log \sum_m e^{q_n \cdot m / T}
        - q_n \cdot k_n / T\right)

    with q and k L2-normalised here. The mean of L equals the (K+1)-way cross entropy with
    class 0 of facebookresearch/moco, ``moco/builder.py`` (arXiv 1911.05722, equation 1;
    T = 0.2 and an MLP head: arXiv 2003.04297). Keys and negatives receive no gradient.

    Args:
        query_ND: (N, D) raw projections of the queries.
        key_ND: (N, D) raw projections of the positive keys.
        negatives_KD: (K, D) unit vectors.
        temperature: T > 0.
        weight_N: (N,) bool or floating weights of the mean; all zero gives a loss of 0 with
            zero gradients.

    Returns:
        The loss and its diagnostics, scalars in float32 (float64 for float64 queries).

    Raises:
        DenseCLError: shapes that do not belong together, or no temperature above 0.
    """
    check_alike(2, query=query_ND, key=key_ND)
    check_alike(1, loss=query_ND[:, 0], weight=weight_N)
    check_temperature(temperature)
    query_ND, key_ND = unit(query_ND), unit(key_ND.detach())
    positive_N = (query_ND * key_ND).sum(dim=1)
    logsumexp_N, hardest_N = queue_logsumexp(query_ND, negatives_KD, temperature)
    loss_N = F.softplus(logsumexp_N - positive_N / temperature)
    with torch.no_grad():
        beats_N = (positive_N / temperature > hardest_N).to(positive_N.dtype)
        similarity = weighted_mean(positive_N, weight_N)
        accuracy = weighted_mean(beats_N, weight_N)
    return InfoNCETerms(weighted_mean(loss_N, weight_N), similarity, accuracy)
