"""Listen to what C libraries write to standard error, instead of letting it through."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_captures: dict[int, int] = {}  # process id -> descriptor; a forked worker needs its own offset


@contextmanager
def captured_native_stderr() -> Iterator[list[bytes]]:
    """Collect what is written to file descriptor 2, by whoever, during the block.

    libjpeg reports damaged data by printing a line, and OpenCV offers no other way to learn of
    it. Costs about three microseconds. Threads take turns, as a process has one descriptor 2.

    Yields:
        A list that holds the text, if there was any, after the block.
    """
    heard: list[bytes] = []
    with _lock:
        try:
            saved = os.dup(2)
        except OSError:  # a daemon without standard error: nothing to listen to
            yield heard
            return
        capture = _captures.get(os.getpid())
        if capture is None:
            with tempfile.TemporaryFile() as file:
                capture = _captures.setdefault(os.getpid(), os.dup(file.fileno()))
        os.dup2(capture, 2)
        try:
            yield heard
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            length = os.lseek(capture, 0, os.SEEK_CUR)
            if length:
                heard.append(os.pread(capture, length, 0))
                os.ftruncate(capture, 0)
                os.lseek(capture, 0, os.SEEK_SET)
