"""A container's standard streams inside its supervisor: from pipe or terminal to log and attached callers, and back.

One `Loop` per process, no threads; each supervisor has a `Part` of it. Output is read in large chunks and each chunk
goes to the log and to every attached descriptor. A slow reader holds the container back, as with docker and a plain
pipe; it never holds back the control socket. Attached descriptors are made non-blocking, which is why callers hand in
pipe or socket ends of their own.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.runtime.log import LogWriter

CHUNK = 1 << 16


class Loop:
    """epoll with one callback a descriptor."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._callbacks: dict[int, Callable[[], object]] = {}

    def add(self, descriptor: int, callback: Callable[[], object], *, write: bool = False) -> None:
        """Call `callback` whenever the descriptor is readable (writable) or its other end is gone."""
        self._poll.register(descriptor, select.EPOLLOUT if write else select.EPOLLIN)
        self._callbacks[descriptor] = callback

    def remove(self, descriptor: int) -> None:
        """Forget a descriptor; before it is closed."""
        if self._callbacks.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def step(self, timeout: float | None = None) -> bool:
        """Wait for events and handle them; False when `timeout` seconds passed without any."""
        events = self._poll.poll(timeout)
        for descriptor, _ in events:
            callback = self._callbacks.get(descriptor)
            if callback is not None:
                callback()
        return bool(events)


class Part:
    """One owner's descriptors on a loop: an error in a callback is told to the owner and harms no other."""

    def __init__(self, loop: Loop, failed: Callable[[Exception], object]) -> None:
        self.loop = loop
        self._failed = failed
        self._descriptors: set[int] = set()

    def add(self, descriptor: int, callback: Callable[[], object], *, write: bool = False) -> None:
        """As `Loop.add`."""

        def guarded() -> None:
            try:
                callback()
            except Exception as error:
                self._failed(error)

        self.loop.add(descriptor, guarded, write=write)
        self._descriptors.add(descriptor)

    def remove(self, descriptor: int) -> None:
        """As `Loop.remove`; somebody else's are left alone."""
        if descriptor in self._descriptors:
            self._descriptors.remove(descriptor)
            self.loop.remove(descriptor)


class Output:
    """One source (pipe or terminal master) with its log and its sinks; `done` once the source has ended.

    While a sink has not taken everything the source is not read: that is how a slow reader holds the container back.
    """

    def __init__(self, loop: Loop | Part, source: int, stream: int, log: LogWriter | None) -> None:
        self.done = False
        self._loop = loop
        self._source = source
        self._stream = stream
        self._log = log
        self._sinks: dict[int, bytes] = {}  # descriptor → what could not be written yet
        self._reading = False
        os.set_blocking(source, False)
        self._resume()

    def attach(self, sink: int) -> None:
        """Send everything from here on to `sink` too; takes it over and closes it at the end."""
        os.set_blocking(sink, False)
        self._sinks[sink] = b""

    def drain(self) -> None:
        """Read what is left after the last writer has died; never waits for a writer that still lives.

        It is little, what a pipe holds, and so is kept for sinks that are behind.
        """
        while not self.done and self._read():
            pass

    def pending(self) -> bool:
        """Whether a sink has still to take something."""
        return any(self._sinks.values())

    def take_sink(self) -> int | None:
        """The first sink, now the caller's, which is attached to the next source; others are closed, as the source."""
        self._finish()
        first = next(iter(self._sinks), None)
        if first is not None:
            del self._sinks[first]
        self.close()
        return first

    def close(self) -> None:
        """End the source and close every sink: their readers see the end of the output."""
        self._finish()
        for sink in list(self._sinks):
            self._drop(sink)

    def _read(self) -> bool:
        try:
            data = os.read(self._source, CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # EIO: the last user of the terminal has closed it
            data = b""
        if not data:
            self._finish()
            return False
        if self._log is not None:
            self._log.write(self._stream, data)
        for sink in list(self._sinks):
            self._write(sink, data)
        if self.pending():
            self._pause()
        return True

    def _write(self, sink: int, data: bytes = b"") -> None:
        """Give a sink what it has not taken yet, and `data`."""
        waiting = self._sinks[sink]
        rest = waiting + data if waiting else data
        try:
            rest = rest[os.write(sink, rest) :]
        except BlockingIOError:
            pass
        except OSError:  # EPIPE: the reader has gone
            self._drop(sink)
            return
        self._sinks[sink] = rest
        if rest and not waiting:
            self._loop.add(sink, lambda: self._write(sink), write=True)
        elif waiting and not rest:
            self._loop.remove(sink)
            self._resume()

    def _drop(self, sink: int) -> None:
        self._loop.remove(sink)
        del self._sinks[sink]
        os.close(sink)
        self._resume()

    def _resume(self) -> None:
        """Read on, unless a sink is behind."""
        if not self.done and not self._reading and not self.pending():
            self._loop.add(self._source, self._read)
            self._reading = True

    def _pause(self) -> None:
        if self._reading:
            self._loop.remove(self._source)
            self._reading = False

    def _finish(self) -> None:
        if not self.done:
            self.done = True
            self._pause()
            os.close(self._source)


class Input:
    """From an attached caller to the container's standard input: a pipe's end or the terminal master.

    Both descriptors are taken over. Closing a pipe's end is how the container sees the end of its input; a terminal
    is given as a duplicate of its master, whose close means nothing.
    """

    def __init__(self, loop: Loop | Part, source: int, target: int) -> None:
        self._loop = loop
        self._source = source
        self._target = target
        self._rest = b""
        self._open = True
        os.set_blocking(source, False)
        os.set_blocking(target, False)
        loop.add(source, self._read)

    @property
    def closed(self) -> bool:
        """Whether the caller's input has ended."""
        return not self._open

    def close(self) -> None:
        """Stop, and close both ends."""
        if self._open:
            self._open = False
            for descriptor in (self._source, self._target):
                self._loop.remove(descriptor)
                os.close(descriptor)

    def _read(self) -> None:
        try:
            data = os.read(self._source, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._rest = data
        self._loop.remove(self._source)  # until the container has taken this
        self._write(first=True)

    def _write(self, *, first: bool = False) -> None:
        try:
            written = os.write(self._target, self._rest)
        except BlockingIOError:
            written = 0
        except OSError:
            self.close()
            return
        self._rest = self._rest[written:]
        if not self._rest:
            self._loop.remove(self._target)
            self._loop.add(self._source, self._read)
        elif first:
            self._loop.add(self._target, self._write, write=True)
