"""Encode a batch that is too large for memory in chunks, with the gradient of the whole batch."""

import contextlib
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dense_cl.models.norm import running_statistics_kept

Encode = Callable[[Tensor], tuple[Tensor, ...]]


def encode_in_chunks(
    network: nn.Module, encode: Encode, image_BCHW: Tensor, chunk_size: int
) -> tuple[Tensor, ...]:
    r"""Return what ``encode(image_BCHW)`` does while one chunk at a time holds activations.

    Gradient caching (Gao et al., arXiv 2101.06983, section 3): every chunk runs without keeping
    its activations, a loss over all features gives their gradients, and then every chunk is run
    again and sends its share of those to the weights. This is activation checkpointing with the
    chunks as segments, so that torch's does it: in the backward pass all of
    :math:`\partial L / \partial f` is known before the last chunk is run again, and a chunk's
    activations are gone before the one ahead of it is run. Random numbers (drop path) and
    autocast are those of the first run.

    Batch statistics are those of a chunk. Running statistics are updated by the first run only.

    Args:
        network: the module that ``encode`` runs.
        encode: maps (n, 3, H, W) to tensors of n rows, each row from its image alone (but for
            batch statistics).
        image_BCHW: the batch.
        chunk_size: n at most, at least 1; the last chunk may be smaller.
    """
    chunks = image_BCHW.split(chunk_size)
    if torch.is_grad_enabled():
        contexts = partial(_first_and_second_run, network)
        parts = [
            checkpoint(encode, chunk, use_reentrant=False, context_fn=contexts) for chunk in chunks
        ]
    else:
        parts = [encode(chunk) for chunk in chunks]
    return tuple(torch.cat(rows) for rows in zip(*parts, strict=True))


def _first_and_second_run(
    network: nn.Module,
) -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
    return contextlib.nullcontext(), running_statistics_kept(network)
