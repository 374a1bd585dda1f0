"""Images in WebDataset tar shards."""

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dense_cl.errors import DenseCLError
from dense_cl.registry import SOURCES
from dense_cl.sources.base import StreamingSource, UnreadableImageError
from dense_cl.sources.decode import MAX_PIXELS, decode_image
from dense_cl.sources.files import IMAGE_EXTENSIONS

IMAGE_MEMBERS = tuple(ending.removeprefix(".") for ending in IMAGE_EXTENSIONS)

Encoded = tuple[str, bytes | UnreadableImageError]


@SOURCES.register_module()
class WebDatasetSource(StreamingSource):
    """Images in tar shards, read in sequence through the ``webdataset`` library.

    The shards are shuffled by (seed, epoch) and dealt to the workers, ranks first, so that every
    image is read by exactly one worker in every epoch. With fewer shards than workers, the
    workers that share a shard each read it and keep every k-th sample: still each image exactly
    once, at the price of reading the shard k times. Ranks get equal numbers of images only as
    far as the shards are equal. Within a worker a buffer shuffles the samples.

    A sample gives one image: its first member among ``extensions``, in their order. An image
    that does not decode, a sample without an image, and a shard that breaks off are yielded as
    ``UnreadableImageError``.

    Args:
        shards: path, glob or brace pattern (``train-{000..099}.tar``), URL or ``pipe:command``
            (braces work in it too), or a list of those.
        epoch_size: images in all shards together.
        shuffle_buffer: encoded images held per worker to shuffle among; 0 keeps shard order.
        extensions: member names that are images, after the first dot of the file name.
        max_pixels: larger images are unreadable.

    Raises:
        DenseCLError: a local shard is missing, or ``epoch_size`` is not positive.
    """

    def __init__(
        self,
        shards: str | Sequence[str],
        epoch_size: int | None = None,
        shuffle_buffer: int = 1000,
        extensions: Sequence[str] = IMAGE_MEMBERS,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if not isinstance(epoch_size, int) or epoch_size < 1:
            raise DenseCLError(
                f"epoch_size of the shards '{shards}' is {epoch_size}. A stream does not know its "
                f"length: give the number of images in all shards together."
            )
        self.epoch_size = epoch_size
        self.shuffle_buffer = shuffle_buffer
        self.extensions = tuple(extensions)
        self.max_pixels = max_pixels
        self.shards = _expand([shards] if isinstance(shards, str) else shards)

    def iterate(
        self,
        epoch: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        worker: int = 0,
        num_workers: int = 1,
    ) -> Iterator[tuple[str, np.ndarray | UnreadableImageError]]:
        """See ``StreamingSource.iterate``."""
        order = np.random.default_rng((seed, epoch)).permutation(len(self.shards))
        # Ranks vary fastest: with few shards every process gets some before any gets a second.
        consumer, consumers = worker * world_size + rank, world_size * num_workers
        encoded = self._encoded(order, consumer, consumers)
        generator = np.random.default_rng((seed, epoch, consumer))
        for name, data in _shuffled(encoded, self.shuffle_buffer, generator):
            if isinstance(data, UnreadableImageError):
                yield name, data
                continue
            try:
                image = decode_image(data, name, self.max_pixels)
            except UnreadableImageError as error:
                yield name, error
            else:
                yield name, image

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits over shard names, local sizes and ``epoch_size``."""
        digest = hashlib.sha256(f"{self.epoch_size}\n".encode())
        for shard in self.shards:
            local = _local_path(shard)
            size = os.path.getsize(local) if local and os.path.exists(local) else -1
            digest.update(f"{os.path.basename(shard)}\t{size}\n".encode())
        return digest.hexdigest()[:16]

    def _encoded(self, order: np.ndarray, consumer: int, consumers: int) -> Iterator[Encoded]:
        """Yield this consumer's share of the samples, undecoded."""
        count = len(order)
        if count >= consumers:
            for position in range(consumer, count, consumers):
                yield from self._read_shard(self.shards[order[position]])
            return
        position = consumer % count
        sharing = len(range(position, consumers, count))
        turn = consumer // count
        for number, item in enumerate(self._read_shard(self.shards[order[position]])):
            # A shard that breaks off does so for all who share it: all report it.
            if number % sharing == turn or item[0] == self.shards[order[position]]:
                yield item

    def _read_shard(self, shard: str) -> Iterator[Encoded]:
        import webdataset  # imports torch and half the network stack: only when streaming

        count = 0
        try:
            for sample in webdataset.tariterators.tarfile_samples([{"url": shard}]):
                count += 1
                yield self._member(shard, sample)
        # The library lets what tarfile, zlib, subprocess or the network raise come through.
        except Exception as error:
            text = str(error.args[0] if error.args else error) or type(error).__name__
            reason = f"shard breaks off after {count} samples: {text.splitlines()[0]}"
            yield shard, UnreadableImageError(shard, reason)

    def _member(self, shard: str, sample: dict[str, Any]) -> Encoded:
        for extension in self.extensions:
            if extension in sample:
                return f"{shard}::{sample['__key__']}.{extension}", sample[extension]
        name = f"{shard}::{sample['__key__']}"
        members = ", ".join(key for key in sample if not key.startswith("__"))
        return name, UnreadableImageError(name, f"no image among its members ({members})")


def _shuffled(
    items: Iterator[Encoded], buffer_size: int, generator: np.random.Generator
) -> Iterator[Encoded]:
    """Yield the items in random order, as far as a buffer of so many allows."""
    buffer: list[Encoded] = []
    for item in items:
        if len(buffer) < buffer_size:
            buffer.append(item)
            continue
        if not buffer:
            yield item
            continue
        slot = int(generator.integers(len(buffer)))
        buffer[slot], item = item, buffer[slot]
        yield item
    for slot in generator.permutation(len(buffer)):
        yield buffer[slot]


def _expand(patterns: Sequence[str]) -> list[str]:
    """Return the shards that brace and glob patterns stand for, in order, local ones checked."""
    import braceexpand

    shards: list[str] = []
    for pattern in patterns:
        for shard in braceexpand.braceexpand(pattern):
            local = _local_path(shard)
            if local is None or os.path.isfile(local):
                shards.append(shard if local is None else local)
                continue
            matches = sorted(glob.glob(local))
            if not matches:
                raise DenseCLError(
                    f"shard '{shard}' does not exist (from '{pattern}'). Check the path and the "
                    f"range in its braces."
                )
            shards.extend(matches)
    if len(set(shards)) < len(shards):
        twice = next(shard for shard in shards if shards.count(shard) > 1)
        raise DenseCLError(f"shard '{twice}' is named twice; its images would count double.")
    return shards


def _local_path(shard: str) -> str | None:
    """Return the path of a shard on this machine, or None for a pipe or URL."""
    if shard.startswith("file:"):
        return shard[len("file:") :]
    if shard.startswith("pipe:") or "://" in shard:
        return None
    return os.path.expanduser(shard)
