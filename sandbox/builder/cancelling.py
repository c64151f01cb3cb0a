"""The end of a build before its time: one step has failed, or somebody has pressed Ctrl-C.

Every stage has a thread. What may take long says by `ending` how it is cut short, and what waits asks `check`; the rest
is soon done. The solver cancels, once.
"""

from __future__ import annotations

import fcntl
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PAUSE = 0.01  # seconds between two looks at a lock: flock(2) itself would not hear of the end


class CancelledError(SandboxError):
    """A step was given up because the build has ended otherwise. Nobody is shown this."""

    reference = "cancelled"

    def __init__(self) -> None:
        super().__init__("the build was cancelled")


class Cancellation:
    """Of one build. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._endings: dict[object, Callable[[], object]] = {}

    @property
    def cancelled(self) -> bool:
        """Whether the build goes on no more."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise CancelledError if it goes on no more."""
        if self.cancelled:
            raise CancelledError

    def cancel(self) -> None:
        """Cut short what goes on. Only the first call counts."""
        with self._lock:
            self._event.set()
            endings = tuple(self._endings.values())
            self._endings.clear()
        for end in endings:
            end()

    @contextmanager
    def ending(self, end: Callable[[], object]) -> Iterator[None]:
        """While the block runs a cancellation calls `end`, from another thread; one that came before does so now."""
        token = object()
        with self._lock:
            late = self.cancelled
            if not late:
                self._endings[token] = end
        if late:
            end()
        try:
            yield
        finally:
            with self._lock:
                self._endings.pop(token, None)

    def lock(self, fd: int) -> None:
        """Take the flock(2) of a descriptor as soon as it is free. CancelledError where the build ends first."""
        while True:
            self.check()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._event.wait(_PAUSE)
            else:
                return
