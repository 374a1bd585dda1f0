"""What finds regions: one interface for what looks at the pixels and what reads labels."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.regions.regions import ImageRegions
from dense_cl.sources.base import ImageSource
from dense_cl.sources.files import FileSource
from dense_cl.sources.selection import evenly_spread

_MOST = int(np.iinfo(np.int16).max)
_FINGERPRINT_FILES = 1024


class RegionProvider(ABC):
    """Finds the regions of one image at a time. Cheap to pickle: every worker gets a copy.

    Most are frozen dataclasses of their options.

    Attributes:
        cacheable: False for what reads files that are there already.
        command: the subcommand of ``dense-cl`` that makes caches of it.
    """

    cacheable: ClassVar[bool] = True
    command: ClassVar[str] = "regions"

    @abstractmethod
    def __call__(self, image: NDArray[np.uint8], index: int) -> ImageRegions:
        """Find the regions of an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            index: its place in the source; those that look at the image alone do not use it.
        """

    def settings(self) -> dict[str, Any]:
        """Return all that the regions depend on beside the image, as plain JSON."""
        return json.loads(json.dumps({"type": type(self).__name__, **vars(self)}))

    def identity(self) -> str:
        """Return 16 hexadecimal digits over all that decides the regions, wherever files lie."""
        return options_identity(self.settings())


class IndexedProvider(RegionProvider):
    """Finds regions by which image of a source it is shown, so it cannot serve a stream."""

    @abstractmethod
    def bind(self, source: ImageSource) -> None:
        """Learn what the images are, before the first of them is shown.

        Raises:
            DenseCLError: what is known is not about the images of this source.
        """


def options_identity(options: Mapping[str, Any], files: Sequence[str] = ()) -> str:
    """Return 16 hexadecimal digits over options and the content of 1024 evenly spread files.

    Args:
        options: plain values, without paths.
        files: one for each image; '' where it has none.
    """
    digest = hashlib.sha256(f"{json.dumps(options, sort_keys=True)} {len(files)}\n".encode())
    for index in evenly_spread(len(files), _FINGERPRINT_FILES):
        digest.update(
            hashlib.sha256(Path(files[index]).read_bytes() if files[index] else b"").digest()
        )
    return digest.hexdigest()[:16]


def image_names(source: ImageSource) -> list[str]:
    """Return what tells the images of a source from each other, wherever their root lies."""
    name = source.relative_name if isinstance(source, FileSource) else source.name
    return [name(index) for index in range(len(source))]


def relative_names(source: ImageSource, provider: RegionProvider) -> list[str]:
    """Return the names of all images from the root of their source on, to find labels by.

    Raises:
        DenseCLError: the images of the source are no files.
    """
    if not isinstance(source, FileSource):
        raise DenseCLError(
            f"regions {type(provider).__name__} finds labels by the names of image files, which"
            f" source {type(source).__name__} does not have"
        )
    return image_names(source)


def as_label_map(labels: NDArray[Any]) -> NDArray[np.int16]:
    """Return ids as int16, -1 for none.

    Raises:
        DenseCLError: there are more regions than int16 can count.
    """
    if labels.size and int(labels.max()) > _MOST:
        raise DenseCLError(
            f"an image has {int(labels.max()) + 1} regions, more than {_MOST + 1}: ask the provider"
            " for fewer or larger ones"
        )
    return labels.astype(np.int16)


def shrink(image: NDArray[np.uint8], max_size: int | None) -> NDArray[np.uint8]:
    """Reduce an image to ``max_size`` pixels on its longer side; smaller ones stay as they are."""
    if max_size is not None and max_size < 1:
        raise DenseCLError(f"max_size is {max_size}; it is 1 pixel or more, or None.")
    height, width = image.shape[:2]
    if max_size is None or max(height, width) <= max_size:
        return image
    scale = max_size / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def require(condition: bool, provider: RegionProvider, rule: str) -> None:
    """Raise a ``DenseCLError`` that names the provider and the rule that an option breaks."""
    if not condition:
        raise DenseCLError(f"regions {type(provider).__name__}: {rule}; got {vars(provider)}")
