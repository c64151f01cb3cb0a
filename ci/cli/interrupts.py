"""Ctrl-C and its relatives during `ci-run local`.

Before and after the build a signal is a KeyboardInterrupt, whose way up removes what was made. While the loop runs it
is an event of the loop: the first ends the steps in their own way, the next one kills them, and cleaning up is never
cut short.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """`with Interrupts() as interrupts:` counts the signals; `descriptor` becomes readable with each one.

    `deferred` decides what a signal does: False, KeyboardInterrupt at once; True, it is counted and `noticed` called
    (in the handler: it may raise to end a system call that waits).
    """

    def __init__(self) -> None:
        self.count = 0
        self.deferred = False
        self.noticed: Callable[[], None] = _nothing
        self.descriptor = -1
        self._writing = -1
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        self.descriptor, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for number in _SIGNALS:
            # A signal that whoever started us ignores (nohup) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self.descriptor)
        os.close(self._writing)

    def drain(self) -> None:
        """Make `descriptor` unreadable until the next signal."""
        with suppress(BlockingIOError):
            os.read(self.descriptor, 4096)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if not self.deferred:
            raise KeyboardInterrupt
        with suppress(BlockingIOError):
            os.write(self._writing, b"x")
        self.noticed()


def _nothing() -> None:
    """Nobody wants to know."""
