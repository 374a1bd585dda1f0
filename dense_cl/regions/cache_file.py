"""The file of a region cache: SQLite, so a killed writer loses at most its last second.

One row an image, with what it is a row of (a hash of the pixels) and a checksum; and a table of
what all rows come from. Nothing in it is ever executed or unpickled.
"""

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from dense_cl.errors import DenseCLError
from dense_cl.regions.regions import ImageRegions

FORMAT = 1
_DIGEST_BYTES = 16
_TABLES = """
CREATE TABLE IF NOT EXISTS provenance (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS regions (
    image INTEGER PRIMARY KEY, pixels BLOB NOT NULL, label_map BLOB, boxes BLOB,
    checksum INTEGER NOT NULL
);
"""


class Row(NamedTuple):
    """Regions of one image as they are stored.

    Attributes:
        pixels: ``pixel_digest`` of the image.
        label_map: 16-bit PNG of id + 1, or None.
        boxes: float32, little endian, or None.
    """

    pixels: bytes
    label_map: bytes | None
    boxes: bytes | None

    @property
    def checksum(self) -> int:
        """CRC-32 of the whole row."""
        parts = (self.pixels, self.label_map or b"", b"|", self.boxes or b"")
        return zlib.crc32(b"".join(parts))


def pixel_digest(image: NDArray[np.uint8]) -> bytes:
    """Return 16 bytes that stand for the shape and all pixels of an image."""
    digest = hashlib.sha256(str(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()[:_DIGEST_BYTES]


def encode(pixels: bytes, regions: ImageRegions) -> Row:
    """Pack the regions of an image."""
    label_map, boxes = None, None
    if regions.label_map is not None:
        ids = (regions.label_map.astype(np.int32) + 1).astype(np.uint16)
        label_map = cv2.imencode(".png", ids, [cv2.IMWRITE_PNG_COMPRESSION, 6])[1].tobytes()
    if regions.boxes is not None:
        boxes = regions.boxes.astype("<f4").tobytes()
    return Row(pixels, label_map, boxes)


def decode(row: Row) -> ImageRegions:
    """Undo ``encode``."""
    label_map, boxes = None, None
    if row.label_map is not None:
        packed = np.frombuffer(row.label_map, np.uint8)
        ids = np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED))
        label_map = (ids.astype(np.int32) - 1).astype(np.int16)
    if row.boxes is not None:
        boxes = np.frombuffer(row.boxes, "<f4").reshape(-1, 4).astype(np.float32)
    return ImageRegions(label_map, boxes)


class CacheFile:
    """An open cache.

    Args:
        file: its path.
        write: open for writing, and make it if it is not there; nobody else can write meanwhile.
        command: the subcommand of ``dense-cl`` that makes it, for messages.

    Raises:
        DenseCLError: not there, damaged, no cache, or another process writes to it.
    """

    def __init__(self, file: str | Path, write: bool = False, command: str = "regions") -> None:
        self.file, self.command = Path(file).expanduser(), command
        if write:
            self.file.parent.mkdir(parents=True, exist_ok=True)
        elif not self.file.is_file():
            raise DenseCLError(
                f"region cache '{file}' does not exist. Make it with 'dense-cl {command} CONFIG'."
            )
        mode = "rwc" if write else "ro"
        with self._readable():
            location = f"file:{quote(str(self.file.absolute()))}?mode={mode}"
            self._connection = sqlite3.connect(location, uri=True, timeout=1)
            if write:
                self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
            found = self.provenance()
        if found.get("format", FORMAT) != FORMAT or not (write or found):
            self.close()
            raise DenseCLError(
                f"region cache '{file}' is of format {found.get('format')}; this version reads"
                f" {FORMAT}. Delete it and run 'dense-cl {command}' again."
            )

    def close(self) -> None:
        """Close it; what was not committed is lost."""
        self._connection.close()

    def provenance(self) -> dict[str, Any]:
        """Return what the rows come from: empty in a new file."""
        with self._readable():
            rows = self._connection.execute("SELECT key, value FROM provenance").fetchall()
            return {key: json.loads(value) for key, value in rows}

    def describe(self, provenance: dict[str, Any]) -> None:
        """Add to what the rows come from, and commit."""
        with self._readable():
            self._connection.executemany(
                "INSERT OR REPLACE INTO provenance VALUES (?, ?)",
                [(key, json.dumps(value)) for key, value in provenance.items()],
            )
        self.commit()

    def get(self, image: int) -> Row | None:
        """Return the row of an image, None if there is none.

        Raises:
            DenseCLError: the row is damaged.
        """
        query = "SELECT pixels, label_map, boxes, checksum FROM regions WHERE image = ?"
        with self._readable():
            found = self._connection.execute(query, (image,)).fetchone()
        if found is None:
            return None
        row = Row(*found[:3])
        if row.checksum != found[3]:
            raise self._damaged(f"the row of image {image} does not match its checksum")
        return row

    def put(self, image: int, row: Row) -> None:
        """Write or replace the row of an image; ``commit`` makes it last."""
        with self._readable():
            self._connection.execute(
                "INSERT OR REPLACE INTO regions VALUES (?, ?, ?, ?, ?)",
                (image, *row, row.checksum),
            )

    def commit(self) -> None:
        """Make what was written last."""
        with self._readable():
            self._connection.commit()

    def digests(self, count: int) -> NDArray[np.uint8]:
        """Return ``pixel_digest`` of images 0 .. count - 1: (count, 16), zeros where there is none.

        Damaged rows count as none.
        """
        digests = np.zeros((count, _DIGEST_BYTES), dtype=np.uint8)
        with self._readable():
            for image, *parts, checksum in self._connection.execute("SELECT * FROM regions"):
                if image < count and Row(*parts).checksum == checksum:
                    digests[image] = np.frombuffer(parts[0], np.uint8)
        return digests

    def content(self) -> str:
        """Return 16 hexadecimal digits over all rows."""
        digest = hashlib.sha256()
        query = "SELECT image, pixels, checksum FROM regions ORDER BY image"
        with self._readable():
            for image, pixels, checksum in self._connection.execute(query):
                digest.update(f"{image} {checksum} ".encode() + pixels)
        return digest.hexdigest()[:16]

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise DenseCLError(
                    f"region cache '{self.file}' is being written by another process. Wait for it,"
                    " or choose another file."
                ) from None
            raise self._damaged(str(error)) from None
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, reason: str) -> DenseCLError:
        return DenseCLError(
            f"region cache '{self.file}' is damaged or no region cache ({reason}). Delete it and"
            f" run 'dense-cl {self.command}' again."
        )
