"""SIGTERM and SIGINT ask a run to stop after the iteration it is in."""

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TrainingStopped(KeyboardInterrupt):
    """A signal ended the run; its state is saved.

    A ``KeyboardInterrupt``, so that ``except Exception`` in a script does not swallow it.

    Attributes:
        signum: the signal.
        checkpoint: what was saved.
    """

    def __init__(self, signum: int, checkpoint: str) -> None:
        name = signal.Signals(signum).name
        super().__init__(f"stopped by {name}; state saved to {checkpoint}")
        self.signum, self.checkpoint = signum, checkpoint

    @property
    def exit_status(self) -> int:
        """Status of a process ended by this signal, by the shell's convention."""
        return 128 + self.signum


class StopSignals:
    """Note the first SIGTERM or SIGINT in ``received``; the second one ends the process.

    A context manager that puts the previous handlers back. In any thread but the main one,
    where Python allows no handlers, it does nothing.
    """

    def __init__(self) -> None:
        self.received = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.received:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self.received = signum
        name = signal.Signals(signum).name
        print(f"\n{name}: stopping after this iteration (again to stop now)", file=sys.stderr)


def leave_signals_to_parent(worker: int) -> None:
    """Keep a data worker alive when a signal goes to the whole process group.

    The parent still needs its batch to finish the iteration. A second SIGTERM is meant, and
    it is also how ``DataLoader`` gets rid of a worker that hangs.

    Args:
        worker: number of the worker, as ``worker_init_fn`` receives it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL) and None)
