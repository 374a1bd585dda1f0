"""How far a long command is, for a terminal or a log."""

import sys
import time

_EVERY = {True: 0.2, False: 5.0}  # seconds between two lines, in a terminal and elsewhere


class Progress:
    """Prints a line that says how far, how fast, and how long still.

    Args:
        what: the line begins with it.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._live = sys.stderr.isatty()
        self._first: tuple[float, int] | None = None
        self._last = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Print it when it is due; what was done before the first call does not count as speed."""
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
        if now - self._last < _EVERY[self._live] and done < total:
            return
        self._last = now
        rate = (done - self._first[1]) / max(now - self._first[0], 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if rate else ""
        text = f"{self.what} {done}/{total}, {rate:.3g} images/s{left}"
        start, end = ("\r", "\n" if done == total else "\x1b[K") if self._live else ("", "\n")
        print(f"{start}{text}", end=end, file=sys.stderr, flush=True)
