"""Images that are files: reading one, and the base of the folder, list and COCO sources."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from dense_cl.sources.base import ImageSource, UnreadableImageError
from dense_cl.sources.decode import MAX_PIXELS, decode_image

IMAGE_EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm",
    ".pgm", ".pbm", ".jp2", ".avif",
)  # fmt: skip

_MAX_BYTES_PER_PIXEL = 8  # 16-bit RGBA, uncompressed: nothing we decode needs more
_HEADER_ALLOWANCE = 1 << 20  # metadata and thumbnails
_FINGERPRINT_SIZES = 1024  # sizes of so many evenly spread files go into a fingerprint


def read_file(path: str | Path, max_bytes: int) -> bytes:
    """Return the content of a regular file.

    Raises:
        UnreadableImageError: with the reason: missing, broken link, directory, FIFO or device,
            no permission, empty, longer than ``max_bytes``.
    """
    name = os.fspath(path)
    try:
        # Without O_NONBLOCK, opening a FIFO would hang the worker until someone writes to it.
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                kind = "is a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
                raise UnreadableImageError(name, kind)
            if status.st_size > max_bytes:
                raise UnreadableImageError(
                    name, f"{status.st_size} bytes, above the limit of {max_bytes}"
                )
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read()
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.ENOENT and os.path.islink(name):
            raise UnreadableImageError(name, "broken symbolic link") from None
        reason = (error.strerror or type(error).__name__).lower()
        raise UnreadableImageError(name, reason) from None
    if not data:
        raise UnreadableImageError(name, "empty file")
    return data


def load_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read and decode one image file into (H, W, 3) uint8 RGB.

    Raises:
        UnreadableImageError: see ``read_file`` and ``decode_image``.
    """
    data = read_file(path, max_pixels * _MAX_BYTES_PER_PIXEL + _HEADER_ALLOWANCE)
    return decode_image(data, os.fspath(path), max_pixels)


class PackedStrings(Sequence[str]):
    """An immutable list of strings in two arrays.

    A list of a million ``str`` costs 100 MB in every worker, because reference counts defeat
    copy-on-write; packed, the pages stay shared.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        encoded = [os.fsencode(string) for string in strings]
        self._blob = b"".join(encoded)
        self._ends = np.cumsum([len(item) for item in encoded], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index):
        if not 0 <= index < len(self._ends):
            raise IndexError(f"index {index} of {len(self._ends)} images")
        start = int(self._ends[index - 1]) if index else 0
        return os.fsdecode(self._blob[start : int(self._ends[index])])


class FileSource(ImageSource):
    """Image files under one root.

    Args:
        root: folder that relative names start from.
        names: paths relative to ``root`` (absolute ones are taken as they are).
        max_pixels: larger images are unreadable (see ``decode_image``).
    """

    def __init__(
        self, root: str | Path, names: Iterable[str], max_pixels: int = MAX_PIXELS
    ) -> None:
        self.root = str(root)
        self.max_pixels = max_pixels
        self._names = PackedStrings(names)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Return the path of the file."""
        return os.path.join(self.root, self._names[index])

    def relative_name(self, index: int) -> str:
        """Return the name below ``root``; the whole path of a file that was given so elsewhere."""
        name = self._names[index]
        if os.path.isabs(name):
            below = os.path.relpath(name, self.root)
            return name if below.split(os.sep)[0] == os.pardir else below
        return name

    def load(self, index: int) -> np.ndarray:
        """Return the image as (H, W, 3) uint8 RGB; raises ``UnreadableImageError``."""
        return load_image(self.name(index), self.max_pixels)

    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits over all relative names and 1024 evenly spread file sizes.

        The place of the root does not matter; contents are not read.
        """
        digest = hashlib.sha256(f"{len(self)}\n".encode())
        digest.update(self._names._blob)
        digest.update(self._names._ends.tobytes())
        for index in np.linspace(0, len(self) - 1, min(len(self), _FINGERPRINT_SIZES)).astype(int):
            try:
                size = os.stat(self.name(int(index))).st_size
            except OSError:
                size = -1
            digest.update(f"{size}\n".encode())
        return digest.hexdigest()[:16]

    def stamp(self) -> str:
        """Return 64 hexadecimal digits over path, size and times of change of every file.

        A program that copies a file over another can set back the time at which its content
        changed, but not that of its inode, which no program sets.
        """
        digest = hashlib.sha256()
        for index in range(len(self)):
            name = os.path.abspath(self.name(index))
            try:
                status = os.stat(name)
                found = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
            except OSError:
                found = "missing"
            digest.update(os.fsencode(f"{name}\0{found}\n"))
        return digest.hexdigest()
