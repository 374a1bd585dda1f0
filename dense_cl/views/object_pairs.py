"""Data set of ORL's third stage: views of an image, of a region of it, and of a pair of regions."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.mining.object_pairs import ObjectPairs, different
from dense_cl.mining.settings import MiningSettings
from dense_cl.regions.provider import RegionProvider
from dense_cl.registry import DATASETS, VIEWS
from dense_cl.sources.base import ImageSource, UnreadableImageError
from dense_cl.views.box_jitter import BoxJitter
from dense_cl.views.crops import Box, crop_and_resize
from dense_cl.views.dataset import (
    Sample,
    Unreadable,
    ViewDataset,
    build_provider,
    naming,
    with_saliency,
)
from dense_cl.views.geometry import ViewGeometry
from dense_cl.views.group import View, ViewGroup
from dense_cl.views.pipeline import Transform
from dense_cl.views.randomness import random_from

_NOT_MINED = "could not be read when pairs were mined: mine again now that it can"


@VIEWS.register_module()
class PatchGroup(ViewGroup):
    """Views of boxes that are given: what a ``ViewGroup`` does once it has chosen a crop.

    Args:
        size: height and width of the views.
        transforms: as for ``ViewGroup``.
    """

    def __init__(
        self, size: Sequence[int], transforms: Sequence[Mapping[str, Any] | Transform] = ()
    ) -> None:
        super().__init__(1, size, None, transforms)

    def cut(self, image: NDArray[np.uint8], box: Box, key: Sequence[int]) -> View:
        """Make the view of one box of an (H, W, 3) image; only ``key`` decides the transforms."""
        geometry = ViewGeometry.from_box(box, self.size, (image.shape[0], image.shape[1]))
        return self._finish(*self.pipeline(crop_and_resize(image, box, self.size), geometry, key))


@DATASETS.register_module()
class ObjectPairDataset(ViewDataset):
    """A ``ViewDataset`` whose samples go on with four patches.

    Behind the views of ``views`` (two, for ``ORL``) come two of one region of the image, the
    second jittered; then a region of the image and, of one of its neighbours, a region that was
    found alike. The last has ``other_image`` set, and lies in the neighbour. Region, neighbour,
    pair and all augmentations depend on seed, epoch and index alone. As in Jiahao000/ORL
    ``openselfsup/datasets/orl.py``, all of them are drawn with equal chances.

    Args:
        source, views, seed: see ``ViewDataset``.
        pairs: file of ``dense-cl mine``: what it writes, and training reads.
        patches: two ``PatchGroup`` (configs or objects), for the first and the second of a pair.
        box_jitter: options of ``BoxJitter``.
        saliency: see ``ViewDataset``; the patches show it too.
        regions: region provider, of which ``dense-cl mine`` takes the boxes. Training looks at
            the pairs only; it refuses those that were mined from other regions.
        mining: options of ``dense_cl.mining.settings.MiningSettings``, for ``dense-cl mine``;
            training refuses pairs that were mined with others.

    Raises:
        DenseCLError: the pairs cannot be read or were mined from other images; not two patches.
    """

    def __init__(
        self,
        source: Mapping[str, Any] | ImageSource,
        views: Sequence[Mapping[str, Any] | ViewGroup],
        pairs: str,
        patches: Sequence[Mapping[str, Any] | PatchGroup],
        box_jitter: Mapping[str, Any] | None = None,
        seed: int = 0,
        regions: Mapping[str, Any] | RegionProvider | None = None,
        mining: Mapping[str, Any] | None = None,
        saliency: Mapping[str, Any] | RegionProvider | None = None,
    ) -> None:
        super().__init__(source, views, seed, saliency=saliency)
        wanted = {
            "data_fingerprint": self.source.fingerprint(),
            **asdict(MiningSettings(**(mining or {}))),
        }
        provider = build_provider(regions)
        if provider is not None:
            wanted["regions"] = provider.settings()
        self.pairs = ObjectPairs.read(pairs)
        differences = different(self.pairs.meta, wanted)
        if differences or len(self.pairs) != len(self.source):
            raise DenseCLError(
                f"object pairs '{pairs}' ({len(self.pairs)} images) are not for this recipe and"
                f" these {len(self.source)} images: {differences}. Mine them again, from the same"
                " data and with the same recipe."
            )
        built = [VIEWS.build(dict(p)) if isinstance(p, Mapping) else p for p in patches]
        if len(built) != 2 or not all(isinstance(group, PatchGroup) for group in built):
            raise DenseCLError("ObjectPairDataset: patches are two PatchGroup, one for each view.")
        self.patches: list[PatchGroup] = built
        self.box_jitter = BoxJitter(**(box_jitter or {}))

    def __getitem__(self, key: tuple[int, int] | int) -> Sample | Unreadable:
        """Return the sample, or ``Unreadable`` with the file at fault: its own or its partner's."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        stem = (self._views.seed, epoch, index, len(self.groups))
        try:
            image = self.source.load(index)
            if not len(self.pairs.boxes_of(index)):
                raise UnreadableImageError(self.source.name(index), _NOT_MINED)
            rng = random_from(*stem)
            region, (own, other), neighbour = self._draw(index, rng)
            partner = self.source.load(neighbour)
        except UnreadableImageError as error:
            return Unreadable(index, error.name, error.reason)
        sample = self._views.sample(image, epoch, index, self.source.name(index))
        moved = self.box_jitter(region, (image.shape[0], image.shape[1]), rng)
        cuts = [(image, region), (image, moved), (image, own), (partner, other)]
        with naming(sample.name):
            own_objects = self.objects(image, index)
            objects = [own_objects] * 3 + [self.objects(partner, neighbour)]
            patches = [
                with_saliency(self.patches[number % 2].cut(*cut, (*stem, number)), objects[number])
                for number, cut in enumerate(cuts)
            ]
        patches[-1] = replace(patches[-1], other_image=True)
        return replace(sample, views=[*sample.views, *patches])

    def _draw(self, index: int, rng: random.Random) -> tuple[Box, tuple[Box, Box], int]:
        """Choose a region of the image, a neighbour, and a pair of regions of both."""
        region = rng.choice(self.pairs.boxes_of(index).tolist())
        number = rng.randrange(self.pairs.neighbours.shape[1])
        own, other = rng.choice(self.pairs.pairs_of(index, number).tolist())
        return tuple(region), (tuple(own), tuple(other)), int(self.pairs.neighbours[index, number])
