"""The list of images that could not be read, and the limit above which a run must stop."""

import fcntl
import json
import os
import threading
from collections import Counter
from pathlib import Path

from dense_cl.errors import DenseCLError

LIMIT = 0.05
_STREAM_GRACE = 200  # images seen before the share of a stream means anything


class Quarantine:
    """An append-only JSON-lines file of ``{"file", "reason"}``, one line per distinct image.

    Any number of threads and processes may share the file. What an earlier run wrote counts, so
    a resumed run goes on where it stopped.

    Args:
        path: the file; created with the first entry.
        total: images in the source, or None for a stream.
        limit: largest tolerable share of unreadable images: of ``total``, or of the images seen
            so far for a stream (from 200 images on).
    """

    def __init__(self, path: str | Path, total: int | None, limit: float = LIMIT) -> None:
        if not 0 <= limit <= 1:
            raise DenseCLError(f"quarantine limit {limit} is not a share. Give 0 to 1, e.g. 0.05.")
        self.path = Path(path)
        self.total = total
        self.limit = limit
        self._reasons: dict[str, str] = {}
        self._read_up_to = 0
        self._lock = threading.Lock()
        if self.path.exists():
            with self._lock, self.path.open("rb") as file:
                self._catch_up(file.fileno())
        self._seen = 0
        self._count_before = self.count  # known before this run has seen anything

    @property
    def count(self) -> int:
        """Distinct images listed by this process and, as of the last ``add``, by others."""
        return len(self._reasons)

    def add(self, name: str, reason: str) -> None:
        """List an image (once) and check the limit.

        Raises:
            DenseCLError: more images than the limit allows are unreadable.
        """
        with self._lock:
            if name not in self._reasons:
                self._append(name, reason)
            self._check()

    def seen(self, count: int) -> None:
        """Tell how many more images of a stream have been met, readable or not.

        Raises:
            DenseCLError: more images than the limit allows are unreadable.
        """
        with self._lock:
            self._seen += count
            self._check()

    def _append(self, name: str, reason: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            torn = self._catch_up(descriptor)
            if name not in self._reasons:
                line = json.dumps({"file": name, "reason": reason}) + "\n"
                os.write(descriptor, (b"\n" if torn else b"") + line.encode())
                self._catch_up(descriptor)
        finally:
            os.close(descriptor)

    def _catch_up(self, descriptor: int) -> bool:
        """Read the lines that are new to us; return whether the file ends in half a line."""
        size = os.fstat(descriptor).st_size
        if size < self._read_up_to:  # a new run has begun in this folder
            self._read_up_to = 0
        text = os.pread(descriptor, size - self._read_up_to, self._read_up_to)
        complete = text.rfind(b"\n") + 1
        for line in text[:complete].splitlines():
            try:
                entry = json.loads(line)
                self._reasons.setdefault(entry["file"], entry["reason"])
            except (ValueError, KeyError, TypeError):
                continue  # torn by a kill; the image will be met again
        self._read_up_to += complete
        return complete < len(text)

    def _check(self) -> None:
        if self.total is not None:
            bad, out_of = self.count, self.total
        else:
            bad, out_of = self.count - self._count_before, self._seen
            if out_of < _STREAM_GRACE:
                return
        if bad > self.limit * out_of:
            worst = Counter(self._reasons.values()).most_common(1)[0][0]
            raise DenseCLError(
                f"{bad} of {out_of} images cannot be read, above the limit of "
                f"{self.limit:.1%} (most often: {worst}). They are listed in '{self.path}'. "
                f"Repair or remove them, or raise default_hooks.quarantine.limit."
            )
