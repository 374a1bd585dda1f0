"""Segmentation by retrieval: every patch takes the labels of the training patches it resembles.

Balažević et al., "Towards In-Context Scene Understanding", arXiv 2306.01667, after
vpariza/open-hummingbird-eval (``hbird/hbird_eval.py``).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.evaluation.neighbours import nearest_neighbours

K, TEMPERATURE = 30, 0.02


def transfer_labels(
    memory_ND: Tensor,
    shares_NK: Tensor,
    queries_MD: Tensor,
    k: int = K,
    temperature: float = TEMPERATURE,
) -> Tensor:
    r"""Return the labels of the nearest memory patches, weighted by :math:`e^{cosine / T}`.

    Args:
        memory_ND: (N, D) features of labelled patches; normalised here.
        shares_NK: (N, K) share of each class in the patch.
        queries_MD: (M, D) features of the patches to label; normalised here.
        k: neighbours, found exactly.
        temperature: T > 0.

    Returns:
        (M, K): weighted mean of the neighbours' shares.
    """
    similarity, indices = nearest_neighbours(
        F.normalize(memory_ND, dim=1), F.normalize(queries_MD, dim=1), k
    )
    weights = (similarity / temperature).softmax(dim=1)
    labels = shares_NK.new_zeros(len(queries_MD), shares_NK.shape[1])
    for column, weight in zip(indices.T, weights.T, strict=True):  # (M, k, K) would not fit
        labels += weight[:, None] * shares_NK[column]
    return labels


def balanced_sample(shares_PK: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Choose patches of one image for a bounded memory, rare classes first.

    A patch scores the sum, over the classes in it, of how many patches of the image have the
    class, times a uniform random number; the lowest scores are taken, and patches without any
    label last (``sample_features`` of the authors' code).

    Args:
        shares_PK: (P, K) share of each class in each patch.
        count: patches to take; all of them if there are fewer.
        generator: of the random numbers.

    Returns:
        Indices of the chosen patches.
    """
    present = (shares_PK > 0).float()
    frequency = present @ present.sum(dim=0)
    draw = torch.rand(len(present), generator=generator)
    score = torch.where(frequency > 0, frequency * draw, torch.inf)
    return score.argsort()[:count]
