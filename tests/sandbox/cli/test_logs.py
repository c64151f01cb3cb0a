"""`sandbox logs`: times before lines, lines by time, how much is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.cli.log_options import log_options
from sandbox.cli.logs import Stamps, moment
from sandbox.cli.options import Arguments, UsageError
from sandbox.runtime.log import STDERR, STDOUT, Record

if TYPE_CHECKING:
    from tests.sandbox.command import Sandbox

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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("max-size=1k",), "too little"),
        (("max-size=much",), "is not a size"),
        (("max-size=1m", "max-file=0"), "not a number of files"),
        (("max-file=3",), "needs max-size"),
        (("colour=red",), "unknown"),
    ],
)
def test_wrong_log_options(words: tuple[str, ...], message: str) -> None:
    """Each is named."""
    with pytest.raises(UsageError, match=message):
        log_options(Arguments({"log-opt": words}, ()))


@pytest.mark.root
def test_a_log_by_time_and_with_details(sandbox: Sandbox, name: str) -> None:
    """--since and --until choose by when it was printed; --details puts labels and variables before each line."""
    sandbox("run", "--network", "none", "--name", name, "--label", "a=1", "-e", "B=2", "--log-opt", "labels=a,x",
            "--log-opt", "env=B", "busybox", "sh", "-c", "echo one; sleep 0.6; echo two")  # fmt: skip
    assert sandbox("logs", "--details", name).stdout == "B=2,a=1 one\nB=2,a=1 two\n"
    second = sandbox("logs", "-t", "-n", "1", name).stdout.split()[0]
    assert sandbox("logs", "--since", second, name).stdout == "two\n"
    assert sandbox("logs", "--until", "1h", name).stdout == ""
    assert sandbox("logs", "--since", "1h", name).stdout == "one\ntwo\n"
    assert sandbox("logs", "--since", "yesterday", name).returncode == 2


@pytest.mark.root
def test_a_log_that_is_limited(sandbox: Sandbox, name: str) -> None:
    """A container that prints a lot keeps the last of it."""
    sandbox("run", "-d", "--network", "none", "--name", name, "--log-opt", "max-size=64k", "--log-opt", "max-file=2",
            "busybox", "seq", "100000")  # fmt: skip
    sandbox("wait", name)
    lines = sandbox("logs", name).stdout.splitlines()
    assert lines[-1] == "100000"
    assert 1000 < len(lines) < 60000
    assert sandbox("logs", "-n", "2", name).stdout == "99999\n100000\n"


@pytest.mark.root
def test_a_silent_container_can_be_followed(sandbox: Sandbox, name: str) -> None:
    """Also from before its first word."""
    sandbox("run", "-d", "--network", "none", "--name", name, "busybox", "sh", "-c", "sleep 1; echo late")
    assert sandbox("logs", "-f", name).stdout == "late\n"
