"""Sources and pictures for the tests of views."""

import zlib
from collections.abc import Iterator

import numpy as np

from dense_cl.sources.base import ImageSource, StreamingSource, UnreadableImageError

MOCO = [
    dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
    dict(type="ToGray", p=0.2),
    dict(type="GaussianBlur", sigma_limit=(0.1, 2.0), p=0.5),
    dict(type="HorizontalFlip", p=0.5),
]


def noise_image(name: str) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    height, width = rng.integers(40, 90, 2)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


class NoiseSource(ImageSource):
    """``count`` random images, of which some cannot be read."""

    def __init__(self, count: int = 8, broken: tuple[int, ...] = ()) -> None:
        self.count, self.broken = count, broken

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"noise/{index}.png"

    def load(self, index: int) -> np.ndarray:
        if index in self.broken:
            raise UnreadableImageError(self.name(index), "truncated")
        return noise_image(self.name(index))

    def fingerprint(self) -> str:
        return f"noise-{self.count}"


class NoiseStream(StreamingSource):
    """The images of ``NoiseSource`` in sequence, every third unreadable."""

    def __init__(self, epoch_size: int = 12) -> None:
        self.epoch_size = epoch_size

    def iterate(
        self,
        epoch: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        worker: int = 0,
        num_workers: int = 1,
    ) -> Iterator[tuple[str, np.ndarray | UnreadableImageError]]:
        order = np.random.default_rng((seed, epoch)).permutation(self.epoch_size)
        for number in order[rank * num_workers + worker :: world_size * num_workers]:
            name = f"shard::{number}"
            broken = number % 3 == 0
            yield name, UnreadableImageError(name, "empty") if broken else noise_image(name)

    def fingerprint(self) -> str:
        return "stream"


def blob_image(size: tuple[int, int], centre: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """A Gaussian blob on black: (H, W, 3) uint8, centre (x, y) in half-pixel coordinates."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    blob = 255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * sigma**2))
    return np.repeat(blob.round().astype(np.uint8)[..., None], 3, axis=2)


def centroid(image: np.ndarray, near: np.ndarray, radius: float) -> np.ndarray:
    """Centre of mass of the first channel around ``near``."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    weight = image[..., 0] * ((x - near[0]) ** 2 + (y - near[1]) ** 2 <= radius**2)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
