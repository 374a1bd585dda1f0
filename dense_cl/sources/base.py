"""What every source of images offers, and how a path on the command line becomes a source."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dense_cl.errors import DenseCLError


class UnreadableImageError(DenseCLError):
    """One image cannot be read; the engine quarantines it and goes on.

    Attributes:
        name: path of the file, or ``shard::member``.
        reason: a few words, stable from run to run.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"image '{self.name}' cannot be read: {self.reason}"


class ImageSource(ABC):
    """Images by index. Cheap to pickle, as every worker process gets a copy."""

    streaming = False

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images, unreadable ones included."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Return what messages call the image: its path, or a synthetic name."""

    @abstractmethod
    def load(self, index: int) -> np.ndarray:
        """Return the image as (H, W, 3) uint8 RGB, C-contiguous.

        Raises:
            UnreadableImageError: the image cannot be read.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a short hash of what the data are, recorded with exported backbones."""

    def stamp(self) -> str:
        """Return a hash of the images as they are now, for caches: files by their time of change.

        The fingerprint, where nothing but the arguments decides the images.
        """
        return self.fingerprint()


class StreamingSource(ABC):
    """Images in sequence, for data that cannot be indexed.

    Attributes:
        epoch_size: images in one pass over the data, all processes together (the user says it;
            a stream cannot be counted without reading it).
    """

    streaming = True
    epoch_size: int

    @abstractmethod
    def iterate(
        self,
        epoch: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        worker: int = 0,
        num_workers: int = 1,
    ) -> Iterator[tuple[str, np.ndarray | UnreadableImageError]]:
        """Yield (name, image) pairs of one pass for one worker of one process.

        Over all ranks and workers every image appears exactly once; an unreadable one appears
        as its error. The order depends on nothing but the arguments.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a short hash of what the data are, recorded with exported backbones."""


def source_from_path(data: str | Path, annotations: str | Path | None = None) -> dict[str, Any]:
    """Return the config of the source that fits what the user pointed at.

    Args:
        data: a folder of images; a COCO ``.json``; a ``.txt`` list of paths; or WebDataset shards
            (``.tar``, a brace pattern, ``pipe:command``). A stream needs its ``epoch_size`` added.
        annotations: restricts the images in the folder ``data`` to those a COCO JSON lists.

    Raises:
        DenseCLError: nothing is there, or its kind is not known.
    """
    text = str(data)
    if annotations is not None:
        return {"type": "CocoSource", "annotations": str(annotations), "image_root": text}
    if text.startswith("pipe:") or ("{" in text and "}" in text) or ".tar" in Path(text).suffixes:
        return {"type": "WebDatasetSource", "shards": text}
    path = Path(data).expanduser()
    if not path.exists():
        raise DenseCLError(
            f"data '{text}' does not exist. Give a folder of images, a COCO .json, a .txt list of "
            f"paths, or WebDataset shards (.tar, brace pattern, pipe:command)."
        )
    if path.is_dir():
        return {"type": "FolderSource", "root": str(path)}
    kind = {".json": ("CocoSource", "annotations"), ".txt": ("ListSource", "file")}
    if path.suffix.lower() not in kind:
        raise DenseCLError(
            f"data '{text}' is a file of a kind that is not known ('{path.suffix}'). Give a folder "
            f"of images, a COCO .json, a .txt list of paths, or WebDataset .tar shards."
        )
    source, key = kind[path.suffix.lower()]
    return {"type": source, key: str(path)}
