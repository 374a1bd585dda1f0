"""Data sets of views: a source, view groups, and no chance but seed, epoch and index."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from dense_cl.errors import DenseCLError
from dense_cl.regions.in_view import regions_in_view
from dense_cl.regions.provider import IndexedProvider, RegionProvider
from dense_cl.regions.regions import ImageRegions, fits
from dense_cl.registry import DATASETS, REGIONS, SOURCES, VIEWS
from dense_cl.sources.base import ImageSource, StreamingSource, UnreadableImageError
from dense_cl.views.crops import LabelMap
from dense_cl.views.group import View, ViewGroup


@dataclass(frozen=True, eq=False)
class Sample:
    """All views of one image, group after group."""

    views: list[View]
    index: int
    name: str


@dataclass(frozen=True)
class Unreadable:
    """In place of a sample: a file that could not be read, for the quarantine."""

    index: int
    name: str
    reason: str


class _Views:
    """What both data sets share: view groups, providers, and how an image becomes a sample."""

    def __init__(
        self,
        views: Sequence[Mapping[str, Any] | ViewGroup],
        seed: int,
        regions: Mapping[str, Any] | RegionProvider | None,
        saliency: Mapping[str, Any] | RegionProvider | None,
    ) -> None:
        if not views:
            raise DenseCLError("views is empty: give at least one ViewGroup")
        self.groups = [VIEWS.build(dict(v)) if isinstance(v, Mapping) else v for v in views]
        for number, group in enumerate(self.groups):
            if group.crops_of is not None:
                group.take_crops(self.groups[:number])
        self.regions, self.saliency = build_provider(regions), build_provider(saliency)
        wanting = [g.crop for g in self.groups if g.crop is not None and g.crop.needs_objects]
        if wanting and self.saliency is None:
            raise DenseCLError(
                f"crop {type(wanting[0]).__name__} needs to know what is salient: set"
                " train_dataloader.dataset.saliency (docs/crops.md)."
            )
        self.seed = int(seed)

    def providers(self) -> dict[str, RegionProvider]:
        """Return the providers there are by what they are for."""
        both = {"regions": self.regions, "saliency": self.saliency}
        return {kind: provider for kind, provider in both.items() if provider is not None}

    def indexed(self) -> Iterator[IndexedProvider]:
        """Yield the providers that go by the index of an image."""
        for provider in self.providers().values():
            if isinstance(provider, IndexedProvider):
                yield provider

    def sample(self, image: NDArray[np.uint8], epoch: int, index: int, name: str) -> Sample:
        """Make the sample; any error inside a pipeline comes out with the file's name."""
        if get_worker_info() is not None:
            cv2.setNumThreads(0)  # the workers themselves are the parallelism
        with naming(name):
            objects = self.objects(image, index)
            views = [
                with_saliency(view, objects)
                for number, group in enumerate(self.groups)
                for view in group(image, (self.seed, epoch, index, number), objects)
            ]
            if self.regions is not None:
                found = self.regions(image, index)
                views = [replace(v, regions=regions_in_view(found, v.geometry)) for v in views]
        return Sample(views, index, name)

    def objects(self, image: NDArray[np.uint8], index: int) -> LabelMap | None:
        """Return the ids of what is salient in an image, None without a provider.

        Raises:
            DenseCLError: the provider gives boxes only, or a map that is not of this image.
        """
        if self.saliency is None:
            return None
        label_map = self.saliency(image, index).label_map
        name = type(self.saliency).__name__
        if label_map is None:
            raise DenseCLError(
                f"saliency {name} gives boxes only: use a provider of label maps (docs/crops.md)"
            )
        size, found = (image.shape[0], image.shape[1]), (label_map.shape[0], label_map.shape[1])
        if not fits(found, size):
            raise DenseCLError(
                f"saliency {name} gives a map of {found} for an image of {size} (height, width),"
                " which has another aspect ratio: make the map from this very image, at its size or"
                " reduced with its aspect ratio kept"
            )
        return label_map


def with_saliency(view: View, objects: LabelMap | None) -> View:
    """Show what is salient in an image as a view of it sees it."""
    if objects is None:
        return view
    seen = regions_in_view(ImageRegions(objects), view.geometry).label_map
    assert seen is not None
    return replace(view, saliency=seen >= 0)


def build_provider(config: Mapping[str, Any] | RegionProvider | None) -> RegionProvider | None:
    """Build a region provider from its config, if it is not one already."""
    return REGIONS.build(dict(config)) if isinstance(config, Mapping) else config


@contextlib.contextmanager
def naming(image: str) -> Iterator[None]:
    """Give any error of a pipeline the name of the image at which it came up."""
    try:
        yield
    except DenseCLError as error:
        raise DenseCLError(f"{error} (at image '{image}')") from error
    except Exception as error:
        raise DenseCLError(
            f"the view pipeline failed on image '{image}': {type(error).__name__}: {error}"
        ) from error


def _build_source(source: Any, streaming: bool, other: str) -> Any:
    source = SOURCES.build(dict(source)) if isinstance(source, Mapping) else source
    if bool(getattr(source, "streaming", False)) != streaming:
        kind = "is read as a stream" if not streaming else "is read by index"
        raise DenseCLError(f"source {type(source).__name__} {kind}: use dataset type '{other}'")
    return source


@DATASETS.register_module()
class ViewDataset(Dataset[Sample | Unreadable]):
    """Views of the images of a source that is read by index.

    Items are asked for by ``(epoch, index)``, so workers keep no state between epochs; a bare
    index means epoch 0.

    Args:
        source: image source (config or object).
        views: view groups (configs or objects).
        seed: with epoch and index, all that the views of an image depend on.
        regions: region provider (config or object), for objectives that look at regions.
        saliency: region provider (config or object) whose label map says what is salient, for crop
            policies and objectives that look at that (docs/crops.md).
    """

    def __init__(
        self,
        source: Mapping[str, Any] | ImageSource,
        views: Sequence[Mapping[str, Any] | ViewGroup],
        seed: int = 0,
        regions: Mapping[str, Any] | RegionProvider | None = None,
        saliency: Mapping[str, Any] | RegionProvider | None = None,
    ) -> None:
        self.source: ImageSource = _build_source(source, False, "StreamViewDataset")
        self._views = _Views(views, seed, regions, saliency)
        self.groups = self._views.groups
        self.providers = self._views.providers()
        for provider in self._views.indexed():
            provider.bind(self.source)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: tuple[int, int] | int) -> Sample | Unreadable:
        """Return the sample, or ``Unreadable``: never another image."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        try:
            image = self.source.load(index)
        except UnreadableImageError as error:
            return Unreadable(index, error.name, error.reason)
        return self._views.sample(image, epoch, index, self.source.name(index))

    def objects(self, image: NDArray[np.uint8], index: int) -> LabelMap | None:
        """Return the (h, w) ids of what is salient in an image, -1 for what is not.

        None if the data set has no ``saliency``.
        """
        return self._views.objects(image, index)


@DATASETS.register_module()
class StreamViewDataset(IterableDataset[Sample | Unreadable]):
    """Views of the images of a stream, split over ranks and workers by the source.

    A stream has no index: the one of a sample is a hash of its name, so that its views do not
    depend on which worker met it when.

    Args:
        source: streaming source (config or object).
        views: view groups (configs or objects).
        seed: with epoch and name, all that the views of an image depend on.
        regions: region provider (config or object) that needs the image alone.
        saliency: as for ``ViewDataset``, of a provider that needs the image alone.
    """

    def __init__(
        self,
        source: Mapping[str, Any] | StreamingSource,
        views: Sequence[Mapping[str, Any] | ViewGroup],
        seed: int = 0,
        regions: Mapping[str, Any] | RegionProvider | None = None,
        saliency: Mapping[str, Any] | RegionProvider | None = None,
    ) -> None:
        self.source: StreamingSource = _build_source(source, True, "ViewDataset")
        self._views = _Views(views, seed, regions, saliency)
        self.groups = self._views.groups
        self.providers = self._views.providers()
        for provider in self._views.indexed():
            raise DenseCLError(
                f"regions {type(provider).__name__} go by the index of an image, which a stream"
                " does not have: use a provider that looks at the image alone, or files"
            )
        # In shared memory, so that workers that outlive an epoch see it change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Images of an epoch on this rank, before batching."""
        return self.source.epoch_size // _rank_and_world()[1]

    def __iter__(self) -> Iterator[Sample | Unreadable]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        epoch = int(self._epoch)
        for name, image in self.source.iterate(
            epoch, self._views.seed, *_rank_and_world(), worker, workers
        ):
            digest = hashlib.blake2b(os.fsencode(name), digest_size=7).digest()
            index = int.from_bytes(digest, "big")
            if isinstance(image, UnreadableImageError):
                yield Unreadable(index, image.name, image.reason)
            else:
                yield self._views.sample(image, epoch, index, name)


def _rank_and_world() -> tuple[int, int]:
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
