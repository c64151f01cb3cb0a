"""Moves bytes between this process's standard streams and a container's, until the container's command ends.

One `poll` and no thread: the engine forks best from a process without threads. What the container prints is moved with
splice(2) where that works (pipes and files), else in large reads. Writing to our own output may block, which is
how a slow reader holds the container back; writing to the container never blocks, or a container that prints
before it reads could stand still with us.
"""

from __future__ import annotations

import errno
import os
import select
from stat import S_ISFIFO
from typing import TYPE_CHECKING

from sandbox.cli.output import unwritable, write
from sandbox.kernel.polling import readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.runtime.process import Process
    from sandbox.runtime.spec import ExitStatus

_CHUNK = 1 << 16
_SPLICE = 1 << 20
_ENDED = (errno.EIO, errno.EBADF)  # EIO: nobody has the terminal open any more; EBADF: a standard input that is closed
DETACH_KEYS = b"\x10\x11"  # ctrl-p ctrl-q, docker's


class Detached(Exception):
    """The person at the terminal asked to leave the container alone, after `typed` had come in the same breath."""

    def __init__(self, typed: bytes = b"") -> None:
        super().__init__()
        self.typed = typed


class Output:
    """From the end of a pipe, or a terminal's master, that the container's output arrives on (taken over) to
    `target`.
    """

    def __init__(self, source: int, target: int) -> None:
        self.source = source
        self._target = target
        self._splice = S_ISFIFO(os.fstat(source).st_mode)

    def move(self) -> bool:
        """Move what is there; False at the end. Raises BrokenPipeError when nobody reads `target` any more."""
        if self._splice:
            try:
                return os.splice(self.source, self._target, _SPLICE) > 0
            except InterruptedError:
                return True
            except OSError as error:
                # EINVAL: a target opened for appending, or some device; EAGAIN: one that somebody made non-blocking
                if error.errno not in (errno.EINVAL, errno.EAGAIN):
                    raise unwritable(self._target, error) from error
                self._splice = False
        data = _read(self.source)
        if data:
            write(self._target, data)
        return data != b""

    def close(self) -> None:
        """Close our end."""
        os.close(self.source)


class Input:
    """From `source` to a descriptor that the container reads (taken over); both may be slow."""

    def __init__(self, source: int, target: int, *, detach: bytes = b"") -> None:
        self.source = source
        self.target = target
        self.rest = b""
        self._detach = _Detaching(detach) if detach else None
        os.set_blocking(target, False)

    def read(self) -> bool:
        """Take in some bytes; False at the end. Raises Detached."""
        data = _read(self.source)
        if data:
            try:
                self.rest = self._detach.filter(data) if self._detach else data
            except Detached as left:
                self.rest = left.typed
                if self.rest:
                    self.write()
                raise
        return data != b""

    def write(self) -> bool:
        """Pass some bytes on; False when the container does not read any more."""
        try:
            self.rest = self.rest[os.write(self.target, self.rest) :]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def close(self) -> None:
        """The container sees the end of its input."""
        os.close(self.target)


class _Detaching:
    """Finds the detach keys in what is typed, also when they arrive one by one; holds back their beginning."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._seen = 0

    def filter(self, data: bytes) -> bytes:
        """What goes to the container."""
        passed = bytearray()
        for byte in data:
            if byte == self._keys[self._seen]:
                self._seen += 1
                if self._seen == len(self._keys):
                    raise Detached(bytes(passed))
                continue
            passed += self._keys[: self._seen]
            self._seen = int(byte == self._keys[0])
            if not self._seen:
                passed.append(byte)
        return bytes(passed)


def relay(
    process: Process, outputs: Sequence[Output], source: Input | None = None, *, to_the_end: bool = True
) -> ExitStatus:
    """Move bytes until `process` has ended and what it printed has been passed on; how it ended.

    With `to_the_end` every output is read to its end, whoever holds it; otherwise only what is there when the process
    has ended, since others may have inherited its streams. Everything is closed at the end, also after an error.
    Raises BrokenPipeError when our own output has lost its reader, Detached on the detach keys.
    """
    poll = select.poll()
    readers = {output.source: output for output in outputs}
    ending = process.fileno()
    for descriptor in (ending, *readers):
        poll.register(descriptor, select.POLLIN)
    if source is not None:
        poll.register(source.source, select.POLLIN)
    status: ExitStatus | None = None
    try:
        while status is None or readers:
            events = poll.poll(None if status is None or to_the_end else 0)
            if not events:
                break
            for descriptor, _ in events:
                if descriptor == ending:
                    poll.unregister(ending)
                    status = process.wait()
                elif descriptor in readers:
                    if not readers[descriptor].move():
                        poll.unregister(descriptor)
                        readers.pop(descriptor).close()
                elif source is not None and not _feed(poll, source, descriptor):
                    source.close()
                    source = None
    finally:
        for output in readers.values():
            output.close()
        if source is not None:
            source.close()
        process.close()
    assert status is not None  # noqa: S101  (the loop ends with it, or by an exception)
    return status


def _feed(poll: select.poll, source: Input, ready: int) -> bool:
    """Read or write, whichever was waited for, and wait for the other; False when there is no more to do."""
    poll.unregister(ready)
    if ready == source.source and not source.read():
        return False
    if source.rest and not source.write():
        return False
    if source.rest:
        poll.register(source.target, select.POLLOUT)
    else:
        poll.register(source.source, select.POLLIN)
    return True


def _read(descriptor: int) -> bytes:
    """Some bytes, or none at the end."""
    while True:
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:  # made non-blocking by somebody who shares it with us
            readable(descriptor)
        except OSError as error:
            if error.errno in _ENDED:
                return b""
            raise
