"""Reading a log by lines, with the same code whether it grows or is finished, and within limits whatever is in it.

A line ends at a line feed and at nothing else: a progress bar that writes carriage returns is one line. What comes
after the last line feed is a line, too. Of a line that is longer than `LONGEST` the beginning and the end are given;
all of it is in the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from ci.logs.marks import STRIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.logs.marks import Marks

LONGEST = 16 << 10  # bytes of a line that are given
_HEAD, _TAIL = 12 << 10, 4 << 10  # of one that is longer


class Source(Protocol):
    """The bytes of a log and its marks, as they were at the last `refresh`. For one thread at a time."""

    marks: Marks
    ended: bool

    def refresh(self) -> None:
        """See what has come since."""

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` on; none at the end."""

    def close(self) -> None:
        """Give back what is open."""


class Line(NamedTuple):
    """`text` without its line feed; `left_out` bytes are missing after its first `kept`. The next begins at `end`."""

    text: bytes
    offset: int
    end: int
    time: float
    left_out: int = 0
    kept: int = 0


class Reader:
    """A log. Lines are counted from 0, as offsets are; close it, or use it as a context."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what is open."""
        self._source.close()

    def refresh(self) -> None:
        """See what has come since."""
        self._source.refresh()

    @property
    def ended(self) -> bool:
        """Whether no more will come."""
        return self._source.ended

    @property
    def size(self) -> int:
        """In bytes."""
        return self._source.marks.last.offset

    @property
    def count(self) -> int:
        """Of lines."""
        last = self._source.marks.last
        partial = last.offset > 0 and self._source.read(last.offset - 1, 1) != b"\n"
        return last.lines + partial

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` on; none at the end."""
        return self._source.read(offset, size)

    def start_of(self, line: int) -> int:
        """The offset at which a line begins; the log's size for lines that are not there."""
        if line <= 0:
            return 0
        mark = self._source.marks.before_line(line)
        block = self._source.read(mark.offset, STRIDE)
        parts = block.split(b"\n", line - mark.lines)
        return mark.offset + len(block) - len(parts[-1]) if len(parts) > line - mark.lines else self.size

    def line_at(self, offset: int) -> int:
        """The line that a byte is in."""
        mark = self._source.marks.before_offset(offset)
        return mark.lines + self._source.read(mark.offset, offset - mark.offset).count(b"\n")

    def time_of(self, offset: int) -> float:
        """When a byte arrived, in seconds since 1970."""
        return self._source.marks.time_of(offset)

    def lines(self, first: int, count: int, *, budget: int = 4 << 20) -> Iterator[Line]:
        """At most `count` lines from `first` on, and fewer when they have more than `budget` bytes together."""
        offset = self.start_of(first)
        for number in range(first, first + count):
            if budget <= 0 or offset >= self.size:
                return
            line = self._line(number, offset)
            yield line
            offset, budget = line.end, budget - len(line.text) - 1

    def _line(self, number: int, offset: int) -> Line:
        block = self._block(offset)
        within = offset - self._buffered
        feed = block.find(b"\n", within)
        time = self.time_of(offset)
        if 0 <= feed <= within + LONGEST:
            return Line(block[within:feed], offset, self._buffered + feed + 1, time)
        end = self.start_of(number + 1)
        ends_in_feed = self._source.read(end - 1, 1) == b"\n"
        length = end - offset - ends_in_feed
        if length <= LONGEST:
            return Line(self._source.read(offset, length), offset, end, time)
        text = self._source.read(offset, _HEAD) + self._source.read(offset + length - _TAIL, _TAIL)
        return Line(text, offset, end, time, length - len(text), _HEAD)

    _buffer, _buffered = b"", 0

    def _block(self, offset: int) -> bytes:
        """A piece that has the byte at `offset` and, unless the log ends, a longest line after it."""
        known = self._buffered + len(self._buffer)
        if not (self._buffered <= offset and offset + LONGEST < known):
            self._buffer, self._buffered = self._source.read(offset, STRIDE), offset
        return self._buffer
