"""Grey maps written beside a cache, for eyes, other programs and ``SaliencyMasks``."""

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.regions.provider import RegionProvider
from dense_cl.regions.regions import ImageRegions
from dense_cl.regions.saliency.mask_files import find_masks, mask_names
from dense_cl.regions.saliency.objects import as_levels
from dense_cl.regions.saliency.provider import SaliencyProvider
from dense_cl.sources.base import ImageSource

_MADE = "saliency.json"


class MapFolder(RegionProvider):
    """Passes on the objects of a saliency provider, and keeps each map as a PNG of 8 bits.

    Each map is as large as the provider makes it, and named and nested as its image, so that
    ``SaliencyMasks`` finds the same objects in it if it is given the ``threshold``, ``min_share``
    and ``max_share`` of the provider. ``saliency.json`` has them, and what else the maps come from.

    Args:
        provider: finds the maps.
        folder: where they go; made if it is not there.
        source: the images.

    Raises:
        DenseCLError: the folder holds maps of other settings or data, or files that are no such
            maps; the images have no names below a root, or two have the same.
    """

    def __init__(self, provider: SaliencyProvider, folder: Path, source: ImageSource) -> None:
        self.provider, self.folder = provider, folder
        self.command = provider.command  # type: ignore[misc]
        self._source, self._names = source, mask_names(source, provider)
        made = {"settings": provider.settings(), "source": source.fingerprint()}
        _claim(folder, made)

    def settings(self) -> dict[str, Any]:
        """Return those of the provider: the objects are the same."""
        return self.provider.settings()

    def missing(self) -> list[int]:
        """Return the images that have no map yet, or were written after their map."""
        found, _ = find_masks(str(self.folder), self._names)

        def written(name: str, index: int) -> bool:
            if name not in found:
                return False
            try:
                made = os.stat(self.folder / found[name]).st_mtime_ns
                return os.stat(self._source.name(index)).st_mtime_ns <= made
            except FileNotFoundError:
                return False  # without its photo, which is then listed as unreadable

        return [i for i, name in enumerate(self._names) if not written(name, i)]

    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Find the map, write it, and return its objects."""
        saliency = self.provider.saliency(image, index)
        file = self.folder / f"{self._names[index]}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(file, cv2.imencode(".png", as_levels(saliency))[1].tobytes())
        photo = os.stat(self._source.name(index)).st_mtime_ns
        if photo > os.stat(file).st_mtime_ns:  # by a clock that is ahead
            os.utime(file, ns=(photo, photo))
        return self.provider.objects(saliency)


def _claim(folder: Path, made: dict[str, Any]) -> None:
    """Write what the maps of a folder come from, or compare with what is written there."""
    note = folder / _MADE
    if note.is_file():
        try:
            same = json.loads(note.read_text()) == made
        except ValueError:
            raise DenseCLError(
                f"'{note}' is damaged, so what the maps beside it come from is not known. Give"
                " another folder, or remove this one."
            ) from None
        if not same:
            raise DenseCLError(
                f"'{folder}' holds saliency maps of other settings, or some images have changed"
                f" since (see its {_MADE}). Give another folder, or remove it."
            )
        return
    # Hidden files are no maps; one of ours is what a kill in the middle of the note leaves.
    if folder.is_dir() and any(not file.name.startswith(".") for file in folder.iterdir()):
        raise DenseCLError(
            f"'{folder}' is not empty and has no {_MADE}, so its files are not ours to overwrite."
            " Give another folder."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DenseCLError(f"'{folder}' cannot be made a folder of maps: {error}") from None
    _write(note, json.dumps(made, indent=2).encode() + b"\n")


def _write(file: Path, content: bytes) -> None:
    # Under another name first: a kill in the middle leaves no half a file.
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, file)
    except OSError as error:
        raise DenseCLError(f"'{file}' cannot be written: {error}") from None
