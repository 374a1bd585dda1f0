"""A first-in, first-out queue of keys that serve as negatives."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dense_cl.errors import DenseCLError
from dense_cl.models.distributed import concat_all_gather


class MemoryBank(nn.Module):
    """The queue of MoCo (arXiv 1911.05722, section 3.2), for any batch size.

    It starts with random unit vectors, which are easy negatives: the loss rises while real keys
    replace them (``filled`` of ``size``).

    Args:
        size: K, number of keys.
        channels: D, dimension of a key.

    Attributes:
        keys: (K, D) buffer of unit vectors, to be used as negatives as a whole.
        pointer: row where the next key goes.
        filled: number of rows that hold real keys.
    """

    keys: Tensor
    pointer: Tensor
    filled: Tensor

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        if size < 1:
            raise DenseCLError(f"queue_size is {size}; a queue holds at least one key.")
        self.register_buffer("keys", F.normalize(torch.randn(size, channels), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    @property
    def filled_fraction(self) -> Tensor:
        """Share of the queue that holds real keys, a scalar in [0, 1]."""
        return self.filled / len(self.keys)

    @torch.no_grad()
    def enqueue(self, keys_ND: Tensor) -> None:
        """Replace the oldest keys by those of every rank, in rank order.

        Args:
            keys_ND: (N, D) unit vectors of this rank; N may differ between ranks, need not
                divide K and may exceed it (then the last K stay).
        """
        new = concat_all_gather(keys_ND.to(self.keys.dtype))
        size = len(self.keys)
        # Index arithmetic on the device: reading the pointer would wait for a GPU.
        rows = (self.pointer + torch.arange(len(new), device=new.device)) % size
        self.keys[rows[-size:]] = new[-size:]
        self.pointer.copy_((self.pointer + len(new)) % size)
        self.filled.copy_((self.filled + len(new)).clamp(max=size))
