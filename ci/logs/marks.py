"""Marks: places in a log of which the number of lines and the time are known, so that nobody counts from the start.

A mark is 24 bytes, little-endian: the bytes before it, the line feeds among them (both unsigned), and when the last of
these bytes arrived (seconds since 1970, floating-point). Marks rise in all three and are at most `STRIDE` bytes apart.
They lie one after the other in a file, beside a log that grows or at the end of a finished one, and are looked up there
by halving: a log of any length costs no memory.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

STRIDE = 256 << 10  # bytes
_RECORD = struct.Struct("<QQd")
SIZE = _RECORD.size
_BATCH = 4096  # marks read at once by who goes through all


class Mark(NamedTuple):
    """`offset` bytes with `lines` line feeds had arrived at `time`."""

    offset: int
    lines: int
    time: float

    def packed(self) -> bytes:
        """As it is kept."""
        return _RECORD.pack(*self)


START = Mark(0, 0, 0.0)


class Marks:
    """The `count` marks in a file from the byte `begin` on; a sequence, as `bisect` takes one."""

    def __init__(self, file: int, begin: int, count: int) -> None:
        self._file = file
        self._begin = begin
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Mark:
        return Mark._make(_RECORD.unpack(os.pread(self._file, SIZE, self._begin + index * SIZE)))

    def __iter__(self) -> Iterator[Mark]:
        for first in range(0, self._count, _BATCH):
            count = min(_BATCH, self._count - first)
            data = os.pread(self._file, count * SIZE, self._begin + first * SIZE)
            yield from map(Mark._make, _RECORD.iter_unpack(data))

    @property
    def last(self) -> Mark:
        """Where the log ends."""
        return self[self._count - 1] if self._count else START

    def before_line(self, line: int) -> Mark:
        """The last mark that has fewer than `line` line feeds before it: the `line`th is within a stride from there."""
        index = bisect_left(self, line, key=_lines)
        return self[index - 1] if index else START

    def before_offset(self, offset: int) -> Mark:
        """The last mark at or before a byte."""
        index = bisect_right(self, offset, key=_offset)
        return self[index - 1] if index else START

    def time_of(self, offset: int) -> float:
        """When a byte arrived, to the mark; 0 for what has not."""
        index = bisect_right(self, offset, key=_offset)
        return self[index].time if index < self._count else 0.0


def marks_of(data: bytes, start: Mark, time: float) -> list[Mark]:
    """The marks of what follows on `start` in one piece, at every stride and at the end."""
    found, offset, lines = [], start.offset, start.lines
    for first in range(0, len(data), STRIDE):
        last = min(first + STRIDE, len(data))
        offset += last - first
        lines += data.count(b"\n", first, last)
        found.append(Mark(offset, lines, max(time, start.time)))
    return found


def _lines(mark: Mark) -> int:
    return mark.lines


def _offset(mark: Mark) -> int:
    return mark.offset
