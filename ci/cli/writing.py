"""Bytes to a terminal, pipe or file, for the displays of `ci-run local`: a reader that is slow, gone or stuck.

While a reader is slow the run waits for it, as any program does. Once the run was interrupted it waits no more: what is
not taken soon is dropped, so that Ctrl-C works while the terminal is stopped.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from runners.loop import Loop

_STALLED = 0.2  # seconds that a reader has to take something, once the run was interrupted


class Interrupted(Exception):
    """Raised by `Writer.interrupt` inside of a write that waits for its reader."""


class Writer:
    """Writes to a descriptor, from one thread. `broken` is called once, from the loop, when nobody reads any more."""

    def __init__(self, descriptor: int, loop: Loop, broken: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._loop = loop
        self._broken = broken
        self._is_broken = False
        self._writing = False
        self._impatient = False

    def interrupt(self) -> None:
        """Called by a signal handler: from now on a reader that does not read does not hold the run."""
        self._impatient = True
        if self._writing:
            raise Interrupted

    def write(self, data: bytes) -> None:
        """All of it, unless nobody takes it."""
        view = memoryview(data)
        while view and not self._is_broken:
            try:
                if self._impatient:
                    view = view[self._write_without_waiting(view) :]
                    continue
                self._writing = True
                written = os.write(self._descriptor, view)
                self._writing = False
                view = view[written:]
            except Interrupted:
                self._writing = False
            except OSError:  # EPIPE: nobody reads; ENOSPC: the file's disk is full
                self._writing = False
                self._is_broken = True
                self._loop.after(0, self._broken)

    def _write_without_waiting(self, view: memoryview) -> int:
        """As much as is taken soon; the rest is dropped."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if not poll.poll(_STALLED * 1000):
            return len(view)
        return os.write(self._descriptor, view[: select.PIPE_BUF])
