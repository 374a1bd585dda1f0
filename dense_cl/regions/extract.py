"""Find the regions of all images of a source and write them to a cache file."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, get_worker_info

from dense_cl import __version__
from dense_cl.errors import DenseCLError
from dense_cl.regions.cache_file import FORMAT, CacheFile, Row, encode, pixel_digest
from dense_cl.regions.provider import IndexedProvider, RegionProvider, image_names
from dense_cl.regions.providers.region_cache import check_settings, compared
from dense_cl.sources.base import ImageSource, UnreadableImageError
from dense_cl.sources.quarantine import LIMIT, Quarantine

_COMMIT_EVERY = 1.0  # seconds of work that a kill may cost


@dataclass(frozen=True)
class Extraction:
    """What a finished extraction did.

    Attributes:
        found: images whose regions were found now.
        kept: images that were in the cache, with the same pixels.
        unreadable: images that could not be read.
        content: hash of all rows.
    """

    found: int
    kept: int
    unreadable: int
    content: str


def extract_regions(
    source: ImageSource,
    provider: RegionProvider,
    file: str | Path,
    workers: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    again: Sequence[int] = (),
    limit: float = LIMIT,
) -> Extraction:
    """Find the regions of all images.

    Every image is read and compared by its pixels with what the file has of it; only what is
    missing, changed or damaged is done. So the same call goes on after a kill, repairs, and brings
    the file up to date with images that were added, renamed in part, or mended: rows belong to the
    names of images below their root. Rows of images that are gone stay in the file unused.
    Unreadable images are listed in ``FILE.quarantine.jsonl``. A finished file is not opened for
    writing before something is to be written, so that trainings can read it meanwhile.

    Args:
        source: the images.
        provider: finds the regions.
        file: the cache, new or begun with the same settings and some of the same images.
        workers: processes that work; 0 for this one.
        progress: is told how many images of how many are done.
        again: images to call the provider for even if the file has them, for what else it writes;
            their rows stay.
        limit: share of unreadable images that is too large.

    Raises:
        DenseCLError: the file was made with other settings or other images altogether, is damaged
            beyond single rows, or cannot be written; too many images are unreadable;
            the provider fails on an image.
    """
    total = len(source)
    if isinstance(provider, IndexedProvider):
        provider.bind(source)
    cache, known, content = None, *_finished(file, provider, source)
    try:
        if known is None:
            cache = _claimed(file, provider, source)
            known = cache.digests(total)
        items = _Items(source, provider, known, frozenset(again))
        loader: DataLoader = DataLoader(
            items, batch_size=None, num_workers=workers, collate_fn=_as_it_is
        )
        listed = Path(f"{file}.quarantine.jsonl")
        listed.unlink(missing_ok=True)  # all images are read again
        quarantine = Quarantine(listed, total, limit)
        found, last = 0, time.monotonic()
        for index, result in enumerate(loader):
            if isinstance(result, UnreadableImageError):
                quarantine.add(result.name, result.reason)
            elif isinstance(result, DenseCLError):
                raise result
            elif result is not None:
                cache = cache or _claimed(file, provider, source)
                if not found:
                    cache.describe({"content": None})  # unfinished from here on
                cache.put(index, result)
                found += 1
            if cache and time.monotonic() - last > _COMMIT_EVERY:
                cache.commit()
                last = time.monotonic()
            progress(index + 1, total)
        if cache:
            cache.commit()
            content = cache.content(total)
            cache.describe({"content": content})
    finally:
        if cache:
            cache.close()
    return Extraction(found, total - found - quarantine.count, quarantine.count, content)


class _Items(Dataset[Row | DenseCLError | None]):
    """Rows of the images that need one, None for the others, errors as values.

    A data loader would put the traceback of the worker before the message of a raised error.
    """

    def __init__(
        self,
        source: ImageSource,
        provider: RegionProvider,
        known: NDArray[np.uint8],
        again: frozenset[int],
    ) -> None:
        self.source, self.provider, self.known, self.again = source, provider, known, again

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Row | DenseCLError | None:
        if get_worker_info() is not None:
            cv2.setNumThreads(0)  # the workers themselves are the parallelism
        try:
            image = self.source.load(index)
        except UnreadableImageError as error:
            return error
        pixels = pixel_digest(image)
        kept = self.known[index].tobytes() == pixels
        if kept and index not in self.again:
            return None
        try:
            regions = self.provider(image, index)
            return None if kept else encode(pixels, regions)
        except Exception as error:
            kind = "" if isinstance(error, DenseCLError) else f"{type(error).__name__}: "
            return DenseCLError(
                f"regions {type(self.provider).__name__} failed on image"
                f" '{self.source.name(index)}': {kind}{error}"
            )


def _as_it_is(item: Any) -> Any:
    return item


def _finished(
    file: str | Path, provider: RegionProvider, source: ImageSource
) -> tuple[NDArray[np.uint8] | None, str]:
    """Return digests and content of a finished cache of just these images, else None, ""."""
    try:
        cache = CacheFile(file, command=provider.command)
    except DenseCLError:
        return None, ""  # not there, or nothing that a writer would not complain of
    with closing(cache):
        made = cache.provenance()
        if made.get("content") is None or made["source"] != source.fingerprint():
            return None, ""
        check_settings(made, provider, str(file))
        try:
            same = cache.names()[: len(source)] == image_names(source)
        except DenseCLError:  # made before names were kept
            same = False
        return (cache.digests(len(source)), made["content"]) if same else (None, "")


def _claimed(file: str | Path, provider: RegionProvider, source: ImageSource) -> CacheFile:
    """Open a file for writing as the cache of these images."""
    cache = CacheFile(file, write=True, command=provider.command)
    try:
        _claim(cache, provider, source)
    except BaseException:
        cache.close()
        raise
    return cache


def _claim(cache: CacheFile, provider: RegionProvider, source: ImageSource) -> None:
    """Make a file the cache of these images, or refuse what is the cache of others."""
    made, names = cache.provenance(), image_names(source)
    if made:
        check_settings(made, provider, str(cache.file))
        data = {"source": source.fingerprint(), "images": len(source)}
        if data["source"] == made["source"]:
            update = {}
        elif set(names).isdisjoint(cache.names()):
            raise DenseCLError(
                f"region cache '{cache.file}' was made from other images: {compared(made, source)},"
                " and it holds none of their names. Use the data it was made with, or make another"
                f" with 'dense-cl {provider.command} CONFIG --out FILE'."
            )
        else:
            update = data | {"content": None}
    else:
        update = _provenance(provider.settings(), source)
    cache.arrange(names)
    cache.describe(update)


def _provenance(settings: dict[str, Any], source: ImageSource) -> dict[str, Any]:
    libraries = {"numpy": np, "opencv": cv2, "scikit-image": skimage, "torch": torch}
    versions = {name: str(module.__version__) for name, module in libraries.items()}
    return {
        "format": FORMAT,
        "settings": settings,
        "source": source.fingerprint(),
        "images": len(source),
        "versions": {"dense_cl": __version__, **versions},
    }
