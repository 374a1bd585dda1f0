"""The result of mining: for each image its regions, its neighbours and the pairs of regions."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError

FORMAT = "dense_cl.object_pairs"
_ARRAYS = ("boxes", "box_starts", "neighbours", "pairs", "pair_starts")


@dataclass(frozen=True, eq=False)
class ObjectPairs:
    """Alike regions of N images, packed in few arrays (cheap to share with workers).

    Attributes:
        boxes: (M, 4) int32 x1, y1, x2, y2 in whole source pixels, image after image.
        box_starts: (N + 1,) int64; image i has the rows from ``box_starts[i]`` on. An image that
            could not be read has none.
        neighbours: (N, K) int32 positions of the most similar images, best first; -1 for images
            that could not be read.
        pairs: (P, 2) int32 rows of ``boxes``: one of the image, one of its neighbour; best first.
        pair_starts: (N * K + 1,) int64; image i and neighbour k have the rows from
            ``pair_starts[i * K + k]`` on.
        meta: plain values that say what the pairs were made of (see ``dense_cl.mining.mine``).
    """

    boxes: NDArray[np.int32]
    box_starts: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    pairs: NDArray[np.int32]
    pair_starts: NDArray[np.int64]
    meta: dict[str, Any]

    def __len__(self) -> int:
        return len(self.neighbours)

    def boxes_of(self, index: int) -> NDArray[np.int32]:
        """Return the regions of an image, (A, 4); A = 0 if it could not be read."""
        return self.boxes[self.box_starts[index] : self.box_starts[index + 1]]

    def pairs_of(self, index: int, neighbour: int) -> NDArray[np.int32]:
        """Return the pairs with the k-th neighbour, (Q, 2, 4): a box of each of the two."""
        number = index * self.neighbours.shape[1] + neighbour
        return self.boxes[self.pairs[self.pair_starts[number] : self.pair_starts[number + 1]]]

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over everything."""
        digest = hashlib.sha256(json.dumps(self.meta, sort_keys=True).encode())
        for name in _ARRAYS:
            digest.update(getattr(self, name).tobytes())
        return digest.hexdigest()[:16]

    def to_bytes(self) -> bytes:
        """Return the content of the file: an .npz of numbers and one JSON text."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        text = json.dumps({"format": FORMAT, **self.meta}).encode()
        stream = io.BytesIO()
        np.savez_compressed(stream, meta=np.frombuffer(text, np.uint8), **arrays)
        return stream.getvalue()

    @classmethod
    def read(cls, file: str | Path) -> "ObjectPairs":
        """Read what ``dense-cl mine`` wrote; no code in the file is run.

        Raises:
            DenseCLError: missing, damaged, or another kind of file.
        """
        file = Path(file).expanduser()
        if not file.is_file():
            raise DenseCLError(
                f"object pairs '{file}' do not exist; 'dense-cl mine' writes them"
                " (docs/dense_methods.md)."
            )
        try:
            with np.load(file, allow_pickle=False) as archive:
                meta = json.loads(archive["meta"].tobytes())
                arrays = {name: archive[name] for name in _ARRAYS}
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise DenseCLError(
                f"'{file}' is no file of 'dense-cl mine', or is damaged ({error}). Mine again."
            ) from None
        if not isinstance(meta, dict) or meta.pop("format", None) != FORMAT:
            raise DenseCLError(f"'{file}' is no file of 'dense-cl mine'. Mine again.")
        return cls(**arrays, meta=meta)


def different(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Say which of the new settings were others, and what they are and were."""
    keys = [key for key in new if old.get(key) != new[key]]
    return "; ".join(f"{key} was {old.get(key)!r} and is now {new[key]!r}" for key in keys)
