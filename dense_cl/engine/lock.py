"""One run at a time in a work folder: two would move and delete each other's checkpoints."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dense_cl.engine.launch import rank
from dense_cl.errors import DenseCLError

_FILE = ".lock"


@contextmanager
def alone_in(folder: str | Path, launcher: str = "none") -> Iterator[None]:
    """Keep other runs out of a folder, until this one ends or is killed.

    The first process of a run holds the lock for all. It is the kind that belongs to a process, so
    that its data workers, which outlive a killed one for seconds, do not hold it.

    Args:
        folder: that is there.
        launcher: of the processes.

    Raises:
        DenseCLError: another run works in it.
    """
    if rank(launcher):
        yield
        return
    with (Path(folder) / _FILE).open("a") as stream:
        try:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise DenseCLError(
                    f"another run works in '{folder}'. Wait for its end, or choose another work"
                    " folder."
                ) from None
            # A file system without locks: the run goes on without one.
        yield
