"""Photos with planted objects, a backbone file and regions, for the tests of mining."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dense_cl.models.heads import MLPHead
from dense_cl.regions.provider import RegionProvider
from dense_cl.regions.regions import ImageRegions
from dense_cl.sources.base import ImageSource, UnreadableImageError
from dense_cl.transfer.encoder import Encoder, save_encoder
from tests.engine.tiny import TinyBackbone

OBJECT = 40  # pixels
PLACES = ((6, 10), (70, 50), (14, 58), (64, 4))  # x, y of objects that do not overlap


def pattern(number: int) -> np.ndarray:
    """One of many objects: stripes of a colour, direction and width of their own."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:OBJECT, :OBJECT]
    wave = np.sin((x * rng.normal() + y * rng.normal()) * rng.uniform(0.2, 0.8))
    colours = rng.uniform(0, 255, (2, 3))
    return np.where(wave[..., None] > 0, colours[0], colours[1]).astype(np.uint8)


@dataclass
class PlantedSource(ImageSource):
    """Grey photos of 110 x 120; photo i shows ``objects[i]`` at the places of ``PLACES``."""

    objects: list[list[int]]
    broken: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.objects)

    def name(self, index: int) -> str:
        return f"planted/{index}.png"

    def load(self, index: int) -> np.ndarray:
        if index in self.broken:
            raise UnreadableImageError(self.name(index), "truncated")
        rng = np.random.default_rng(1000 + index)
        image = rng.integers(110, 140, (110, 120, 3), dtype=np.uint8)
        for number, (x, y) in zip(self.objects[index], PLACES, strict=False):
            image[y : y + OBJECT, x : x + OBJECT] = pattern(number)
        return image

    def fingerprint(self) -> str:
        return f"planted-{self.objects}"


@dataclass
class PlantedRegions(RegionProvider):
    """The places of the objects, and for every photo some boxes that are too small or too long."""

    objects: list[list[int]] | None

    def __call__(self, image: np.ndarray, index: int) -> ImageRegions:
        if self.objects is None:
            return ImageRegions()
        boxes = [(x, y, x + OBJECT, y + OBJECT) for x, y in PLACES[: len(self.objects[index])]]
        unfit = [(0, 0, 5, 5), (0, 0, 120, 20)]
        return ImageRegions(boxes=np.array([*unfit, *boxes], dtype=np.float32))

    def settings(self) -> dict[str, str]:
        return {"type": "places"}


def write_encoder(file: Path, head: bool = True) -> Path:
    """Write the tiny backbone, with two linear layers behind it or none."""
    backbone = TinyBackbone()
    layers = MLPHead(16, 12, 8, norm="BN").layers if head else MLPHead(16, num_layers=0).layers
    meta = {
        "format": "dense_cl.backbone",
        "architecture": {"type": "TinyBackbone"},
        "normalization": {"mean": [127.0] * 3, "std": [60.0] * 3, "channel_order": "RGB"},
    }
    return save_encoder(Encoder(backbone, layers, meta), file)[0]
