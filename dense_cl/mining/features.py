"""Vectors of images and of their regions, kept on disk in parts so that a killed run goes on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.mining.object_pairs import different
from dense_cl.transfer.weights_file import replacing

PART = 64  # images; what is being worked on when a run is killed is done again
_REQUEST = "request.json"


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """What mining knows of one image.

    Attributes:
        vector: (D,) float32 of the image.
        boxes: (A, 4) int32 regions.
        regions: (A, C) float32 vectors of the regions.
        reason: why the image could not be read, with empty arrays; '' if it could.
    """

    vector: NDArray[np.float32]
    boxes: NDArray[np.int32]
    regions: NDArray[np.float32]
    reason: str = ""


UNREADABLE = ImageFeatures(
    np.empty(0, np.float32), np.empty((0, 4), np.int32), np.empty((0, 0), np.float32)
)


class FeatureStore:
    """The features of ``total`` images in a folder, ``PART`` images a file.

    The vectors of regions are mapped into memory, not read: with a ResNet-50 they are 8 KB each.

    Args:
        folder: created if it is not there.
        request: plain values that decide the features.
        total: number of images.

    Raises:
        DenseCLError: the folder holds features of another request.
    """

    def __init__(self, folder: Path, request: Mapping[str, Any], total: int) -> None:
        self.folder, self.total = folder, total
        folder.mkdir(parents=True, exist_ok=True)
        note = folder / _REQUEST
        if not note.exists():
            with replacing(note) as temporary:
                temporary.write_text(json.dumps(request, indent=2) + "\n")
        begun = json.loads(note.read_text())
        differences = different(begun, request)
        if differences:
            raise DenseCLError(
                f"'{folder}' was begun with other settings ({differences}). Go on with those, or"
                " remove the folder to start again."
            )

    def missing(self) -> list[range]:
        """Return the images of each part that is not complete."""
        parts = (range(i, min(i + PART, self.total)) for i in range(0, self.total, PART))
        return [part for part in parts if not self._path(part.start, ".npz").exists()]

    def write(self, start: int, images: Sequence[ImageFeatures]) -> None:
        """Keep a part; it is there once its .npz is."""
        readable = [image for image in images if not image.reason] or [UNREADABLE]
        with replacing(self._path(start, ".npy")) as temporary:
            np.save(temporary, np.concatenate([i.regions for i in readable]))
        with replacing(self._path(start, ".npz")) as temporary:
            np.savez(
                temporary,
                vectors=np.stack([i.vector for i in readable]),
                boxes=np.concatenate([i.boxes for i in readable]),
                counts=np.array([len(i.boxes) for i in images]),
                reasons=np.array([i.reason for i in images]),
            )

    def read(self) -> list[ImageFeatures]:
        """Return the features of all images in order.

        Raises:
            DenseCLError: a part is damaged.
        """
        images: list[ImageFeatures] = []
        for start in range(0, self.total, PART):
            try:
                images += self._read_part(start)
            except (OSError, ValueError, KeyError) as error:
                raise DenseCLError(
                    f"'{self._path(start, '.npz')}' is damaged ({error}). Remove it and run the"
                    " same command again."
                ) from None
        return images

    def _read_part(self, start: int) -> list[ImageFeatures]:
        regions = np.load(self._path(start, ".npy"), mmap_mode="r", allow_pickle=False)
        with np.load(self._path(start, ".npz"), allow_pickle=False) as archive:
            part = dict(archive)
        vectors = iter(part["vectors"])
        ends = np.cumsum(part["counts"])
        return [
            ImageFeatures(
                UNREADABLE.vector if reason else next(vectors),
                part["boxes"][end - count : end],
                regions[end - count : end],
                str(reason),
            )
            for count, end, reason in zip(part["counts"], ends, part["reasons"], strict=True)
        ]

    def _path(self, start: int, suffix: str) -> Path:
        return self.folder / f"{start:09d}{suffix}"
