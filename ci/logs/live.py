"""A log that grows: a folder with its bytes (`data`), its marks (`marks`) and, when no more will come, a file `ended`.

Several processes may append, one at a time by a lock on `data`; anybody may read. Bytes are written first and their
mark after them, and who reads looks at the marks: a process that is killed between the two leaves bytes without a mark,
which the next one to append gives one. The end is on the disk before it is acknowledged. A loss of power before that
may take the last bytes; the runner still has them, and is told from where on to send again.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.logs.marks import SIZE, START, STRIDE, Mark, Marks, marks_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA, MARKS, ENDED = "data", "marks", "ended"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class GapError(CiError):
    """Bytes are missing before those that were sent; `next` is the one that is wanted."""

    reference = "gap"

    def __init__(self, offset: int, wanted: int) -> None:
        super().__init__(f"the log has {wanted} bytes and these begin at {offset}", hint=f"send from {wanted} on")
        self.next = wanted


class LimitError(CiError):
    """More bytes than are kept of a log."""

    reference = "log-limit"


class EndedError(CiError):
    """More bytes after the end."""

    reference = "ended"


class Writer:
    """What `exclusive` gives: the log's end, to be written at."""

    def __init__(self, folder: Path, data: int, marks: int) -> None:
        self._folder = folder
        self._data = data
        self._marks = marks
        self.end = self._mend()

    @property
    def ended(self) -> bool:
        """Whether no more will come."""
        return (self._folder / ENDED).exists()

    def append(self, offset: int, data: bytes, *, time: float, limit: int) -> int:
        """Take what is new of the bytes from `offset` on; how many the log has now.

        Raises GapError, LimitError (nothing is taken), EndedError.
        """
        size = self.end.offset
        if offset > size:
            raise GapError(offset, size)
        fresh = data[size - offset :]
        if not fresh:
            return size
        if self.ended:
            raise EndedError(f"the log has ended with {size} bytes")
        if size + len(fresh) > limit:
            raise LimitError(f"a log has at most {limit} bytes")
        _write(self._data, fresh)
        self._note(marks_of(fresh, self.end, time))
        return self.end.offset

    def finish(self) -> None:
        """No more will come; on the disk when this returns."""
        if self.ended:
            return
        os.fsync(self._data)
        os.fsync(self._marks)
        os.close(os.open(self._folder / ENDED, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        for folder in (self._folder, self._folder.parent, self._folder.parent.parent):
            sync_folder(folder)

    def _note(self, marks: list[Mark]) -> None:
        _write(self._marks, b"".join(mark.packed() for mark in marks))
        self.end = marks[-1]

    def _mend(self) -> Mark:
        """Where the log ends, after what a process left that was killed, or a loss of power."""
        size = os.fstat(self._data).st_size
        count, torn = divmod(os.fstat(self._marks).st_size, SIZE)
        marks = Marks(self._marks, 0, count)
        while count and marks[count - 1].offset > size:
            count, torn = count - 1, 1
        if torn:
            os.ftruncate(self._marks, count * SIZE)
        self.end = marks[count - 1] if count else START
        while self.end.offset < size:
            data = os.pread(self._data, min(STRIDE, size - self.end.offset), self.end.offset)
            self._note(marks_of(data, self.end, os.fstat(self._data).st_mtime))
        return self.end


@contextmanager
def exclusive(folder: Path, *, make: bool = False) -> Iterator[Writer]:
    """The log in this folder, for one caller at a time. Raises FileNotFoundError where there is none, or no more."""
    if make:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = os.open(folder / DATA, _FLAGS if make else _FLAGS & ~os.O_CREAT, 0o600)
    try:
        fcntl.flock(data, fcntl.LOCK_EX)
        if not os.fstat(data).st_nlink:  # while we waited it has become a file
            raise FileNotFoundError(folder / DATA)
        marks = os.open(folder / MARKS, _FLAGS, 0o600)
        try:
            yield Writer(folder, data, marks)
        finally:
            os.close(marks)
    finally:
        os.close(data)


class LiveSource:
    """A log that grows, to be read: as it was when `refresh` was last called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = os.open(folder / DATA, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._marks = os.open(folder / MARKS, os.O_RDONLY | os.O_CLOEXEC)
        except BaseException:
            os.close(self._data)
            raise
        self.ended = False
        self.refresh()

    def refresh(self) -> None:
        """See what has come since."""
        # In this order: after the end there is nothing new. A folder that is gone has become a file, whole.
        self.ended = (self._folder / ENDED).exists() or not os.fstat(self._data).st_nlink
        self.marks = Marks(self._marks, 0, os.fstat(self._marks).st_size // SIZE)

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` on; none at the end."""
        return os.pread(self._data, max(0, min(size, self.marks.last.offset - offset)), offset)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._data)
        os.close(self._marks)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
