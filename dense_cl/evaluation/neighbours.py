"""Exact nearest neighbours in bounded memory."""

import torch
from torch import Tensor

QUERIES = 1024  # at a time
MEMORY = 1 << 16  # entries at a time: 1024 x 65536 float32 similarities are 256 MB


def nearest_neighbours(
    memory_ND: Tensor, queries_MD: Tensor, k: int, leave_one_out: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the k largest dot products of each query with the memory, largest first.

    Args:
        memory_ND: (N, D).
        queries_MD: (M, D).
        k: neighbours; all of them if there are fewer.
        leave_one_out: the queries are the memory, and none is its own neighbour.

    Returns:
        (M, k) dot products and (M, k) int64 indices into the memory.
    """
    k = min(k, len(memory_ND) - leave_one_out)
    values, indices = [], []
    for start in range(0, len(queries_MD), QUERIES):
        queries = queries_MD[start : start + QUERIES]
        best = queries.new_empty(len(queries), 0)
        place = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
        for first in range(0, len(memory_ND), MEMORY):
            similarity = queries @ memory_ND[first : first + MEMORY].T
            if leave_one_out:
                _hide_self(similarity, start - first)
            found = similarity.topk(min(k, similarity.shape[1]), dim=1)
            best = torch.cat([best, found.values], dim=1)
            place = torch.cat([place, found.indices + first], dim=1)
            if best.shape[1] > k:
                best, kept = best.topk(k, dim=1)
                place = place.gather(1, kept)
        values.append(best)
        indices.append(place)
    return torch.cat(values), torch.cat(indices)


def _hide_self(similarity: Tensor, offset: int) -> None:
    """Take the diagonal that begins at column ``offset`` out of the competition."""
    rows = torch.arange(len(similarity), device=similarity.device)
    inside = (rows + offset >= 0) & (rows + offset < similarity.shape[1])
    similarity[rows[inside], rows[inside] + offset] = -torch.inf
