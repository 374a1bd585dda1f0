"""Scenes rendered when they are asked for, without touching the disk."""

import numpy as np

from dense_cl.errors import DenseCLError
from dense_cl.registry import SOURCES
from dense_cl.sources.base import ImageSource
from dense_cl.sources.synthetic.render import render
from dense_cl.sources.synthetic.scene import Scene, sample_scene


@SOURCES.register_module()
class SyntheticScenes(ImageSource):
    """Synthetic multi-object scenes; image ``i`` is ``render(sample_scene(seed, i))``.

    Args:
        count: number of scenes.
        size: height, width in pixels.
        seed: with ``split`` and the index all that a scene depends on.
        split: name of the series; different names share no scene.

    Raises:
        DenseCLError: no scenes, a size under 32 pixels, or a negative seed.
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int] = (192, 192),
        seed: int = 0,
        split: str = "train",
    ) -> None:
        if count < 1:
            raise DenseCLError(f"count of synthetic scenes is {count}. Give 1 or more.")
        self.count = count
        self.size = (int(size[0]), int(size[1]))
        self.seed = seed
        self.split = split
        self.scene(0)  # complains about size and seed now, not in a worker

    def __len__(self) -> int:
        return self.count

    def scene(self, index: int) -> Scene:
        """Return the description of a scene."""
        if not 0 <= index < self.count:
            raise IndexError(f"index {index} of {self.count} scenes")
        return sample_scene(self.seed, index, self.size, self.split)

    def name(self, index: int) -> str:
        """Return a name that tells how to make the scene again."""
        height, width = self.size
        return f"scene::{width}x{height}/seed{self.seed}/{self.split}/{index:06d}"

    def load(self, index: int) -> np.ndarray:
        """Return the image as (H, W, 3) uint8 RGB."""
        return render(self.scene(index)).image

    def fingerprint(self) -> str:
        """Return the arguments, which say all."""
        height, width = self.size
        return f"scenes-{self.count}-{width}x{height}-seed{self.seed}-{self.split}"
