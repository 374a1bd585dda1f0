"""Regions that were found before training."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.regions.cache_file import CacheFile, decode, pixel_digest
from dense_cl.regions.provider import IndexedProvider, RegionProvider
from dense_cl.regions.regions import ImageRegions
from dense_cl.registry import REGIONS
from dense_cl.sources.base import ImageSource


@REGIONS.register_module()
class RegionCache(IndexedProvider):
    """What ``dense-cl regions`` or ``saliency`` has found with another provider, in a file.

    The file must have been made with this provider and these settings, from these data; and each
    image must have the very pixels that its regions were found in.

    Args:
        file: the cache.
        provider: the provider whose regions it holds (config or object).
    """

    cacheable = False

    def __init__(self, file: str, provider: Mapping[str, Any] | RegionProvider) -> None:
        self.file = file
        self.provider: RegionProvider = (
            REGIONS.build(dict(provider)) if isinstance(provider, Mapping) else provider
        )
        if not self.provider.cacheable:
            name, key = type(self.provider).__name__, f"dataset.{self.provider.command}"
            raise DenseCLError(
                f"regions RegionCache: {name} reads files that are there already, and needs no"
                f" cache. In place of RegionCache set {key}=dict(type='{name}', ...); on a command"
                f" line --cfg-options \"train_dataloader.{key}={{'_delete_':True,'type':'{name}',"
                '...}".'
            )
        self._content = ""
        self._open: tuple[int, CacheFile] | None = None

    def settings(self) -> dict[str, Any]:
        """Return those of the provider."""
        return self.provider.settings()

    def identity(self) -> str:
        """Return 16 hexadecimal digits over what it holds."""
        return self._content[:16]

    def bind(self, source: ImageSource) -> None:
        """Refuse a cache that is unfinished, or made with other settings or from other data."""
        cache = CacheFile(self.file, command=self.provider.command)
        try:
            made = cache.provenance()
        finally:
            cache.close()
        check_settings(made, self.provider, self.file)
        if made["source"] != source.fingerprint():
            raise DenseCLError(
                f"region cache '{self.file}' was made from other images, or some have changed"
                f" since: {compared(made, source)}. Run 'dense-cl {self.provider.command}' again,"
                " which does what is missing, or name the cache of these images."
            )
        if made.get("content") is None:
            raise DenseCLError(
                f"region cache '{self.file}' is not finished. Run 'dense-cl"
                f" {self.provider.command}' again; it goes on where it stopped."
            )
        self._content = str(made["content"])

    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Read the regions of one image.

        Raises:
            DenseCLError: there are none, or the image has changed since.
        """
        row = self._cache().get(index)
        if row is None or row.pixels != pixel_digest(image):
            reason = "has no regions" if row is None else "has changed since its regions were found"
            raise DenseCLError(
                f"image {index} {reason} in region cache '{self.file}'. Run 'dense-cl"
                f" {self.provider.command}' again; it does what is missing."
            )
        return decode(row)

    def _cache(self) -> CacheFile:
        # A connection must not be used by the child of the process that opened it.
        if self._open is None or self._open[0] != os.getpid():
            cache = CacheFile(self.file, command=self.provider.command)
            self._open = (os.getpid(), cache)
        return self._open[1]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": None}


def check_settings(made: Mapping[str, Any], provider: RegionProvider, file: str) -> None:
    """Compare the settings that a cache was made with and those that are wanted.

    Raises:
        DenseCLError: names every setting that differs.
    """
    before, settings = made["settings"], provider.settings()
    differences = [
        f"{key} was {before.get(key)!r} and is now {settings.get(key)!r}"
        for key in sorted(set(before) | set(settings))
        if before.get(key) != settings.get(key)
    ]
    if differences:
        raise DenseCLError(
            f"region cache '{file}' does not fit: {'; '.join(differences)}. Use the settings it was"
            f" made with, or make another with 'dense-cl {provider.command} CONFIG --out FILE'."
        )


def compared(made: Mapping[str, Any], source: ImageSource) -> str:
    """Say of which images a cache was made, and which there are."""
    return (
        f"fingerprint {made['source']} of {made['images']} images, now {source.fingerprint()} of"
        f" {len(source)}"
    )
