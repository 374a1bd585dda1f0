"""Features of images by a frozen backbone: computed once, kept on disk (``feature_store``).

Features are float32. Batches never cross the border of a part, so that neither a cache nor an
interruption changes their last digits.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from dense_cl.errors import DenseCLError
from dense_cl.evaluation.feature_store import FeatureStore, request
from dense_cl.evaluation.frozen import FrozenBackbone
from dense_cl.evaluation.pictures import Pictures

PART, BATCH = 256, 32  # images
_EVERY = 5.0  # seconds between two lines of progress


@dataclass(frozen=True)
class Extraction:
    """How features are extracted, whatever the task.

    Attributes:
        cache: folder of the cache; None for none.
        workers: processes that read and resize images while the backbone runs; 0 for this one.
        progress: called with a line of text now and then.
    """

    cache: str | Path | None = None
    workers: int = 0
    progress: Callable[[str], None] = lambda line: None

    def pooled(self, backbone: FrozenBackbone, pictures: Pictures, what: str) -> Tensor:
        """Return a vector per image, (N, C): see ``image_vectors``.

        Args:
            backbone: frozen.
            pictures: N images.
            what: they are, for messages.

        Raises:
            DenseCLError: an image cannot be read.
        """
        return self._features(backbone, pictures, None, what)[0]

    def maps(
        self, backbone: FrozenBackbone, pictures: Pictures, stages: Sequence[int], what: str
    ) -> list[Tensor]:
        """Return stage maps of all images, (N, C_s, h_s, w_s) each.

        Raises:
            DenseCLError: an image cannot be read, or the backbone has no such stage.
        """
        return self._features(backbone, pictures, list(stages), what)

    def _features(
        self,
        backbone: FrozenBackbone,
        pictures: Pictures,
        stages: list[int] | None,
        what: str,
    ) -> list[Tensor]:
        starts = range(0, len(pictures), PART)
        store = None
        if self.cache:
            wanted = request(backbone, {**pictures.facts(), "stages": stages})
            store = FeatureStore(self.cache, wanted)
        parts = {start: store.read(start) if store else None for start in starts}
        missing = [start for start in starts if parts[start] is None]
        batches = [
            list(range(first, min(first + BATCH, start + PART, len(pictures))))
            for start in missing
            for first in range(start, min(start + PART, len(pictures)), BATCH)
        ]
        tell = _Meter(f"features of {what} images", len(pictures), self.progress)
        tell.begin(len(pictures) - sum(map(len, batches)))
        ready = iter(_compute(backbone, pictures, stages, batches, self.workers, tell))
        for start in missing:
            count = -(-(min(start + PART, len(pictures)) - start) // BATCH)
            rows = zip(*(next(ready) for _ in range(count)), strict=True)
            part = [np.concatenate(row) for row in rows]
            if store:
                store.write(start, part)
            parts[start] = part
        whole = zip(*(part for part in parts.values() if part is not None), strict=True)
        return [torch.from_numpy(np.concatenate(rows)) for rows in whole]


def _compute(
    backbone: FrozenBackbone,
    pictures: Pictures,
    stages: list[int] | None,
    batches: list[list[int]],
    workers: int,
    tell: "_Meter",
) -> Iterator[list[NDArray[np.float32]]]:
    """Yield the features of each batch."""
    if not batches:
        return
    loader = DataLoader(
        pictures,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_stack,
        generator=torch.Generator(),  # the caller's draws stay as they are
    )
    for images in _surviving(loader):
        if isinstance(images, DenseCLError):
            raise images
        if stages is None:
            found: Sequence[Tensor] = [backbone.pooled(images)]
        else:
            found = backbone.chosen_stages(images, stages)
        tell(len(images))
        yield [np.ascontiguousarray(each.float().numpy()) for each in found]


def _surviving(loader: "DataLoader[Any]") -> Iterator[Tensor | DenseCLError]:
    """Yield the batches of a loader; the death of a worker is an error with a mend."""
    try:
        yield from loader
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DenseCLError(
            "a process that reads images was killed, as happens when memory runs out. Choose a "
            "smaller --size, or --workers 0."
        ) from error


def _stack(images: list[Tensor | DenseCLError]) -> Tensor | DenseCLError:
    tensors = []
    for image in images:
        if isinstance(image, DenseCLError):
            return image
        tensors.append(image)
    return torch.stack(tensors)


class _Meter:
    """Says how far, and how long still."""

    def __init__(self, what: str, total: int, progress: Callable[[str], None]) -> None:
        self.what, self.total, self.progress = what, total, progress

    def begin(self, done: int) -> None:
        """Begin with what was in the cache."""
        self.done, self.before, self.start = done, done, time.monotonic()
        self.last = self.start
        cached = f", {done} of them from the cache" if done else ""
        self.progress(f"{self.what}: {self.total}{cached}")

    def __call__(self, more: int) -> None:
        self.done += more
        now = time.monotonic()
        if now - self.last > _EVERY:
            self.last = now
            left = (now - self.start) / (self.done - self.before) * (self.total - self.done)
            self.progress(f"{self.what}: {self.done} of {self.total}, {left:.0f} s left")
