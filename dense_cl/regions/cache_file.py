"""The file of a region cache: SQLite, so a killed writer loses at most its last second.

One row an image, with what it is a row of (a hash of the pixels) and a checksum; the names of the
images; and a table of what all rows come from. Nothing in it is ever executed or unpickled.
"""

import hashlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
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
_FOREIGN = ("no such", "table")  # what SQLite says of a database with other tables or columns
_TABLES = """
CREATE TABLE IF NOT EXISTS provenance (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS regions (
    image INTEGER PRIMARY KEY, pixels BLOB NOT NULL, label_map BLOB, boxes BLOB,
    checksum INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS names (image INTEGER PRIMARY KEY, name BLOB NOT NULL);
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
        DenseCLError: not there, damaged, no cache, another process writes to it, or it cannot be
            read or written.
    """

    def __init__(self, file: str | Path, write: bool = False, command: str = "regions") -> None:
        self.file, self.command, self._write = Path(file).expanduser(), command, write
        if write:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise self._unusable(error.strerror or type(error).__name__) from None
        elif not self.file.is_file():
            raise DenseCLError(
                f"region cache '{file}' does not exist. Make it with 'dense-cl {command} CONFIG'."
            )
        mode = "rwc" if write else "ro"
        with self._readable():
            location = f"file:{quote(str(self.file.absolute()))}?mode={mode}"
            self._connection = sqlite3.connect(location, uri=True, timeout=1)
            if write:
                self._check_ours()
                self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
            found = self.provenance()
        if found.get("format", FORMAT) != FORMAT or not (write or found):
            self.close()
            raise DenseCLError(
                f"region cache '{file}' is of format {found.get('format')}; this version reads"
                f" {FORMAT}. Delete it and run 'dense-cl {command}' again."
            )

    def _check_ours(self) -> None:
        rows = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {name for (name,) in rows}
        if tables and "provenance" not in tables:
            self.close()
            raise DenseCLError(
                f"'{self.file}' is a database of something else (tables"
                f" {', '.join(sorted(tables))}), which is left alone. Name another file."
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

    def names(self) -> list[str]:
        """Return the names of the images that rows are or were of, in the order of the rows."""
        with self._readable():
            rows = self._connection.execute("SELECT name FROM names ORDER BY image").fetchall()
            return [os.fsdecode(name) for (name,) in rows]

    def arrange(self, names: Sequence[str]) -> None:
        """Let row i be that of the image ``names[i]``; ``commit`` makes it last.

        Rows go where the names of their images have gone. Those of other images stay in the file,
        behind the rows of ``names``, in case the images come back.
        """
        before = self.names()
        wanted = set(names)
        after = [*names, *(name for name in before if name not in wanted)]
        if before == after:
            return
        places = {name: place for place, name in enumerate(after)}
        moves: list[tuple[int, int]] = []
        twice: list[tuple[int]] = []  # a name that comes again; its first row is kept
        for image, name in enumerate(before):
            if name in places:  # below zero first, where no row is in the way
                moves.append((-1 - places.pop(name), image))
            else:
                twice.append((image,))
        with self._readable():
            execute, many = self._connection.execute, self._connection.executemany
            many("DELETE FROM regions WHERE image = ?", twice)
            many("UPDATE regions SET image = ? WHERE image = ?", moves)
            execute("UPDATE regions SET image = -1 - image WHERE image < 0")
            execute("DELETE FROM names")
            many("INSERT INTO names VALUES (?, ?)", enumerate(map(os.fsencode, after)))

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

    def content(self, count: int) -> str:
        """Return 16 hexadecimal digits over the rows of images 0 .. count - 1."""
        digest = hashlib.sha256()
        query = "SELECT image, pixels, checksum FROM regions WHERE image < ? ORDER BY image"
        with self._readable():
            for image, pixels, checksum in self._connection.execute(query, (count,)):
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
            if str(error).startswith(_FOREIGN):
                raise self._damaged(str(error)) from None
            raise self._unusable(str(error)) from None
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            raise self._damaged(str(error)) from None

    def _unusable(self, reason: str) -> DenseCLError:
        if not self._write:
            return DenseCLError(f"region cache '{self.file}' cannot be read ({reason}).")
        return DenseCLError(
            f"region cache '{self.file}' cannot be written ({reason}). Mend that and run 'dense-cl"
            f" {self.command}' again, which goes on where it stopped; or choose another file."
        )

    def _damaged(self, reason: str) -> DenseCLError:
        return DenseCLError(
            f"region cache '{self.file}' is damaged or no region cache ({reason}). Delete it and"
            f" run 'dense-cl {self.command}' again."
        )
