"""Which images make up which batch: a pure function of (seed, iteration), for any rank."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from dense_cl.errors import DenseCLError

Key = tuple[int, int]


class EpochSampler(Sampler[list[Key]]):
    """Batches of (epoch, index) keys for all the iterations that a run still has to do.

    The order of an epoch derives from (seed, epoch) alone and is the same on every rank; each
    global batch is a contiguous piece of it, and rank r takes the r-th share of that piece. So
    shards never overlap, two processes with half the batch see the images that one process
    sees, and the position in the data is one number, the iteration. MMEngine's loops restart at
    an epoch's end or re-read the data up to the position.

    One pass over the sampler runs from ``start`` to ``total``, across the ends of epochs, so
    that workers start once and keep prefetching; ``len`` is the number of batches in one epoch,
    which is what schedules and logs ask for.

    Args:
        length: images in the data set.
        batch_size: images per process and iteration.
        seed: of the run.
        rank, world_size: of this process.
        drop_last: leave the last incomplete global batch of an epoch out; otherwise it is
            shared evenly, as long as every rank gets two images (contrast needs two).

    Attributes:
        start: iteration the next pass begins with; set it to resume.
        total: iteration at which a pass ends; endless when None.

    Raises:
        DenseCLError: the data set does not fill one global batch.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = True,
    ) -> None:
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.start = 0
        self.total: int | None = None
        if batch_size < 1:
            raise DenseCLError(f"train_dataloader.batch_size is {batch_size}; give 1 or more.")
        full, rest = divmod(length, batch_size * world_size)
        self._batches = full + int(not drop_last and rest >= 2 * world_size)
        if self._batches == 0:
            raise DenseCLError(
                f"train_dataloader.batch_size={batch_size} on {world_size} process(es) needs at "
                f"least {batch_size * world_size} images, but the data set has {length}. Lower "
                "the batch size or add images."
            )

    def __len__(self) -> int:
        """Return the batches per epoch."""
        return self._batches

    def __iter__(self) -> Iterator[list[Key]]:
        """Yield the batches of iterations ``start`` .. ``total`` - 1."""
        iteration = self.start
        while self.total is None or iteration < self.total:
            epoch, first = divmod(iteration, self._batches)
            order = self._order(epoch)
            for batch in range(first, self._batches):
                if iteration == self.total:
                    return
                yield [(epoch, index) for index in self._share(order, batch)]
                iteration += 1

    def _order(self, epoch: int) -> list[int]:
        # A sequence as seed is hashed; torch's generator would ignore all but 32 bits of a sum.
        return np.random.default_rng((self.seed, epoch)).permutation(self.length).tolist()

    def _share(self, order: list[int], batch: int) -> list[int]:
        size = self.batch_size * self.world_size
        piece = order[batch * size : (batch + 1) * size]
        share = len(piece) // self.world_size
        return piece[self.rank * share : (self.rank + 1) * share]
