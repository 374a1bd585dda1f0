"""Contrast among the images of a batch: NT-Xent (SimCLR) and the loss of MoCo v3."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.losses.info_nce import unit


class InBatchTerms(NamedTuple):
    """The loss and what it says about the features.

    Attributes:
        loss: scalar.
        positive_similarity: mean cosine of the two views of an image, no gradient.
        accuracy: share of anchors whose positive beats every other candidate, no gradient.
    """

    loss: Tensor
    positive_similarity: Tensor
    accuracy: Tensor


def nt_xent(
    first_ND: Tensor,
    second_ND: Tensor,
    temperature: float,
    all_first_MD: Tensor | None = None,
    all_second_MD: Tensor | None = None,
    offset: int = 0,
) -> InBatchTerms:
    r"""Tell the other view of an image from both views of all other images.

    .. math:: L_i = -\log \frac{e^{z_i \cdot z_{i'} / T}}{\sum_{k \ne i} e^{z_i \cdot z_k / T}}

    over the 2M views k of the whole batch, mean over the anchors i; z are L2-normalised here
    (Chen et al., arXiv 2002.05709, equation 1).

    Args:
        first_ND: (N, D) raw projections of this process's images, one view.
        second_ND: (N, D) of their other view.
        temperature: T > 0.
        all_first_MD: (M, D) of the images of all processes, with this process's at rows
            ``offset`` to ``offset + N``; ``first_ND`` if not given.
        all_second_MD: (M, D) of their other view.
        offset: row of the first image of this process.

    Returns:
        Scalars over the 2N anchors of this process, in float32 at least.
    """
    first_ND, second_ND = unit(first_ND), unit(second_ND)
    all_first_MD = first_ND if all_first_MD is None else unit(all_first_MD)
    all_second_MD = second_ND if all_second_MD is None else unit(all_second_MD)
    images, total = len(first_ND), len(all_first_MD)
    anchors = torch.cat([first_ND, second_ND])
    with torch.autocast(anchors.device.type, enabled=False):
        logits = anchors @ torch.cat([all_first_MD, all_second_MD]).T / temperature
    rows = torch.arange(images, device=logits.device) + offset
    itself = torch.cat([rows, rows + total])
    logits = logits.scatter(1, itself[:, None], float("-inf"))
    return _cross_entropy(logits, torch.cat([rows + total, rows]), temperature)


def in_batch_info_nce(
    query_ND: Tensor, key_MD: Tensor, temperature: float, offset: int = 0
) -> InBatchTerms:
    r"""Tell the key of the same image from the keys of all others.

    .. math:: L = 2 T \, \mathrm{CE}(q_i \cdot k_j / T, i)

    with q and k L2-normalised here; keys receive no gradient (Chen et al., arXiv 2104.02057,
    algorithm 1). The factor 2T is in the paper's pseudocode and in
    facebookresearch/moco-v3 ``moco/builder.py``: it makes the gradient depend less on T.

    Args:
        query_ND: (N, D) raw predictions of this process's images.
        key_MD: (M, D) raw keys of the images of all processes; the positive of query i is
            row ``offset + i``.
        temperature: T > 0.
        offset: row of the first image of this process.

    Returns:
        Scalars over the N queries, in float32 at least.
    """
    with torch.autocast(query_ND.device.type, enabled=False):
        logits = unit(query_ND) @ unit(key_MD.detach()).T / temperature
    rows = torch.arange(len(query_ND), device=logits.device) + offset
    terms = _cross_entropy(logits, rows, temperature)
    return terms._replace(loss=2 * temperature * terms.loss)


def _cross_entropy(logits: Tensor, positives: Tensor, temperature: float) -> InBatchTerms:
    with torch.no_grad():
        positive = logits.gather(1, positives[:, None])
        # A tie is no win: features that are all alike tell nothing apart.
        accuracy = ((logits >= positive).sum(dim=1) == 1).to(logits.dtype).mean()
        similarity = positive.mean() * temperature
    return InBatchTerms(F.cross_entropy(logits, positives), similarity, accuracy)
