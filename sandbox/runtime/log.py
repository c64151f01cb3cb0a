"""A container's output on disk: chunks as they were read, with time and stream.

The supervisor appends, `sandbox logs` and the Remote API read. A record is a 13-byte header (big-endian: nanoseconds
since the epoch as 8 bytes, stream as 1, length as 4) and the bytes. One record is one read of a pipe, not one line: a
container that prints a million lines costs some hundred records, and the bytes are exactly those that were written. A
record cut short by a crash ends the log. A log whose size is limited is several files, see `LogWriter`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time
from typing import TYPE_CHECKING

from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

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
    """Appends records; a failing disk loses output, never the container: the first error is kept in `error`.

    With `most` bytes in a file, a full one becomes `log.1`, the one before `log.2`, and there are `files` in all.
    """

    def __init__(self, path: Path, *, most: int | None = None, files: int = 1) -> None:
        self.error = ""
        self._path = path
        self._most = most
        self._files = files
        self._size = 0
        self._descriptor = -1  # opened for the first record: many containers print nothing

    def write(self, stream: int, data: bytes) -> None:
        """Append one record in one write."""
        if self.error:
            return
        try:
            if self._descriptor < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._descriptor = os.open(self._path, flags, 0o600)
                self._size = os.fstat(self._descriptor).st_size
            written = os.writev(self._descriptor, (_HEADER.pack(time.time_ns(), stream, len(data)), data))
            if written < _HEADER.size + len(data):  # the disk is full: half a record would end the log for good
                os.ftruncate(self._descriptor, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._size += written
            if self._most is not None and self._size >= self._most:
                self._rotate()
        except OSError as error:
            self.error = f"output is no longer kept: {error.strerror}"

    def _rotate(self) -> None:
        self.close()
        for number in range(self._files - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                _numbered(self._path, number - 1).rename(_numbered(self._path, number))
        if self._files == 1:
            self._path.unlink()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}") if number else path


class Reader:
    """Reads a log from its oldest file on; what has been read is not read again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def records(self) -> Iterator[Record]:
        """All that is there now and has not been read."""
        while True:
            following = self._following()
            try:
                yield from self._rest()  # after that look: a file that another has followed is not written to any more
            except GeneratorExit:
                if following is not None:
                    following.close()
                raise
            if following is None:
                return
            if self._file is not None:
                self._file.close()
            self._file = following

    def _rest(self) -> Iterator[Record]:
        file = self._file
        if file is None:
            return
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
            return

    def _following(self) -> BinaryIO | None:
        """The next younger file, opened; None where there is none. One whose place was lost follows anything."""
        while True:
            files = self._files()
            if self._file is not None:
                own = os.fstat(self._file.fileno()).st_ino
                inodes = [inode for inode, _ in files]
                files = files[inodes.index(own) + 1 :] if own in inodes else files
            if not files:
                return None
            inode, path = files[0]
            with contextlib.suppress(FileNotFoundError):
                opened = path.open("rb")
                if os.fstat(opened.fileno()).st_ino == inode:
                    return opened
                opened.close()  # renamed meanwhile

    def _files(self) -> list[tuple[int, Path]]:
        """(inode, path) of each file, the oldest first."""
        found = []
        number = missing = 0
        while missing < 2:  # one may be missing: while they are renamed, and the first until the next record
            path = _numbered(self._path, number)
            try:
                found.append((path.stat().st_ino, path))
                missing = 0
            except FileNotFoundError:
                missing += 1
            number += 1
        return list(reversed(found))


def read(path: Path, *, reader: Reader | None = None, follow: Callable[[], bool] | None = None) -> Iterator[Record]:
    """Every record, or those that `reader` has not read; with `follow`, go on while it answers true, and once more
    after it has turned false.
    """
    reader = reader or Reader(path)
    going = True
    while True:
        yield from reader.records()
        if follow is None or not going:
            return
        going = follow()
        if going:
            time.sleep(_POLL)


def tail(path: Path, lines: int) -> tuple[list[Record], Reader]:
    """The last `lines` lines of both streams together, the first record cut at its line's beginning; and what reads on
    from there.
    """
    kept: list[Record] = []
    count = 0
    reader = Reader(path)
    for record in reader.records():
        kept.append(record)
        count += record.data.count(b"\n")
        while len(kept) > 1 and count - kept[0].data.count(b"\n") > lines:
            count -= kept.pop(0).data.count(b"\n")
    if not kept or lines <= 0:
        return [], reader
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
    return kept, reader
