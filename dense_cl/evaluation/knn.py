"""Weighted k-nearest-neighbour classification of frozen features."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.neighbours import nearest_neighbours

K, TEMPERATURE = 20, 0.07


@torch.no_grad()
def knn_votes(
    memory_ND: Tensor,
    labels_N: Tensor,
    queries_MD: Tensor,
    num_classes: int,
    k: int = K,
    temperature: float = TEMPERATURE,
    leave_one_out: bool = False,
) -> Tensor:
    r"""Return the votes of the k nearest neighbours for every class.

    A neighbour at similarity s votes for its class with weight :math:`e^{s / T}`, as in
    facebookresearch/dino ``eval_knn.py``. Similarity is the dot product of the features as they
    are: normalise them before, as DINO does. The votes of a query are scaled to sum to 1, which
    changes no winner and cannot overflow.

    Args:
        memory_ND: (N, D) labelled features.
        labels_N: (N,) int64 classes, 0 .. ``num_classes`` - 1.
        queries_MD: (M, D) features to classify.
        num_classes: number of classes.
        k: neighbours that vote; all of them if there are fewer.
        temperature: T > 0.
        leave_one_out: the queries are the memory, and none votes for itself.

    Returns:
        (M, num_classes) votes, rows sum to 1.
    """
    similarity, indices = nearest_neighbours(memory_ND, queries_MD, k, leave_one_out)
    weights = (similarity / temperature).softmax(dim=1)
    votes = queries_MD.new_zeros(len(queries_MD), num_classes)
    votes.scatter_add_(1, labels_N[indices], weights)
    return votes


def knn_accuracy(
    memory_ND: Tensor,
    labels_N: Tensor,
    queries_MD: Tensor | None = None,
    query_labels_M: Tensor | None = None,
    k: int = K,
    temperature: float = TEMPERATURE,
) -> float:
    """Return the share of queries whose class gets the most votes, on L2-normalised features.

    Args:
        memory_ND: (N, D) labelled features.
        labels_N: (N,) int64 classes, 0 or more.
        queries_MD: (M, D) features of other images. None: each image of the memory is classified by
            all the others.
        query_labels_M: (M,) their classes.
        k: neighbours that vote.
        temperature: of the votes, > 0.

    Raises:
        DenseCLError: fewer than two labelled images, or queries without labels.
    """
    if (queries_MD is None) != (query_labels_M is None):
        raise DenseCLError("queries and their labels belong together; one of them is missing.")
    if len(memory_ND) < 2:
        raise DenseCLError(f"kNN needs at least two labelled images, not {len(memory_ND)}.")
    if queries_MD is None or query_labels_M is None:
        classes = int(labels_N.max()) + 1
        unit = F.normalize(memory_ND, dim=1)
        votes = knn_votes(unit, labels_N, unit, classes, k, temperature, leave_one_out=True)
        return (votes.argmax(dim=1) == labels_N).double().mean().item()
    classes = int(max(labels_N.max(), query_labels_M.max())) + 1
    found = knn_predictions(memory_ND, labels_N, queries_MD, classes, k, temperature)
    return (found == query_labels_M).double().mean().item()


def knn_predictions(
    memory_ND: Tensor,
    labels_N: Tensor,
    queries_MD: Tensor,
    num_classes: int,
    k: int = K,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """Return (M,) classes with the most votes, on L2-normalised features; see ``knn_votes``."""
    units = F.normalize(memory_ND, dim=1), labels_N, F.normalize(queries_MD, dim=1)
    return knn_votes(*units, num_classes, k, temperature).argmax(dim=1)
