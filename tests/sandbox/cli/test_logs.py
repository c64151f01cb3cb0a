"""Times before the lines of a log."""

from __future__ import annotations

import pytest

from sandbox.cli.logs import Stamps, moment
from sandbox.runtime.log import STDERR, STDOUT, Record

TIME = 1_700_000_000_123_456_789
STAMP = b"2023-11-14T22:13:20.123456789Z "


def stamped(*pieces: tuple[int, bytes]) -> bytes:
    """What is printed of some records."""
    stamps = Stamps()
    return b"".join(stamps.stamped(Record(TIME, stream, data)) for stream, data in pieces)


def test_a_moment() -> None:
    """RFC 3339 with nanoseconds, in UTC."""
    assert moment(TIME) == STAMP


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([(STDOUT, b"a\nb\n")], STAMP + b"a\n" + STAMP + b"b\n"),
        ([(STDOUT, b"a"), (STDOUT, b"b\nc")], STAMP + b"ab\n" + STAMP + b"c"),
        ([(STDOUT, b"a"), (STDERR, b"b\n"), (STDOUT, b"c\n")], STAMP + b"a" + STAMP + b"b\n" + b"c\n"),
        ([(STDOUT, b"\n\n")], STAMP + b"\n" + STAMP + b"\n"),
        ([(STDOUT, b"a\rb\x0bc\n")], STAMP + b"a\rb\x0bc\n"),
    ],
)
def test_each_line_has_one(pieces: list[tuple[int, bytes]], expected: bytes) -> None:
    """A line that came in pieces has one time, and only newlines end lines."""
    assert stamped(*pieces) == expected
