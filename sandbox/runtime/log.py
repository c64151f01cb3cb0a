"""A container's output on disk: chunks as they were read, with time and stream.

The supervisor appends, `sandbox logs` and the Remote API read. A record is a 13-byte header (big-endian: nanoseconds
since the epoch as 8 bytes, stream as 1, length as 4) and the bytes. One record is one read of a pipe, not one line: a
container that prints a million lines costs some hundred records, and the bytes are exactly those that were written. A
record cut short by a crash ends the log.
"""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STDOUT = 1
STDERR = 2
_HEADER = struct.Struct(">QBI")
_MAXIMUM = 1 << 20  # a longer record is no record of ours
_POLL = 0.05  # seconds between two looks at a log that is followed


class Record(NamedTuple):
    """`time` in nanoseconds since the epoch, `stream` 1 or 2."""

    time: int
    stream: int
    data: bytes


class LogWriter:
    """Appends records; a failing disk loses output, never the container: the first error is kept in `error`."""

    def __init__(self, path: Path) -> None:
        self.error = ""
        self._path = path
        self._descriptor = -1  # opened for the first record: many containers print nothing

    def write(self, stream: int, data: bytes) -> None:
        """Append one record in one write."""
        if self.error:
            return
        try:
            if self._descriptor < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o600)
            os.writev(self._descriptor, (_HEADER.pack(time.time_ns(), stream, len(data)), data))
        except OSError as error:
            self.error = f"output is no longer kept: {error.strerror}"

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read(path: Path, *, start: int = 0, follow: Callable[[], bool] | None = None) -> Iterator[Record]:
    """Every record from byte `start` on; with `follow`, go on while it answers true, and once more after it has
    turned false.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(start)
        going = True
        while True:
            position = file.tell()
            header = file.read(_HEADER.size)
            if len(header) == _HEADER.size:
                moment, stream, length = _HEADER.unpack(header)
                if length > _MAXIMUM:
                    return
                data = file.read(length)
                if len(data) == length:
                    yield Record(moment, stream, data)
                    continue
            file.seek(position)
            if follow is None or not going:
                return
            going = follow()
            if going:
                time.sleep(_POLL)


def tail(path: Path, lines: int) -> tuple[list[Record], int]:
    """The last `lines` lines of both streams together, the first record cut at its line's beginning; and where
    reading ended.
    """
    kept: list[Record] = []
    count = end = 0
    for record in read(path):
        end += _HEADER.size + len(record.data)
        kept.append(record)
        count += record.data.count(b"\n")
        while len(kept) > 1 and count - kept[0].data.count(b"\n") > lines:
            count -= kept.pop(0).data.count(b"\n")
    if not kept or lines <= 0:
        return [], end
    complete = kept[-1].data.endswith(b"\n")
    excess = count - lines + (0 if complete else 1)
    while kept and excess > 0:
        first = kept[0]
        available = first.data.count(b"\n")
        if available < excess or (available == excess and first.data.endswith(b"\n")):
            excess -= available
            kept.pop(0)
            continue
        data = first.data
        for _ in range(excess):
            data = data[data.index(b"\n") + 1 :]
        kept[0] = first._replace(data=data)
        break
    return kept, end
