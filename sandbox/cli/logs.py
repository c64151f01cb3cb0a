"""`sandbox logs`: what a container has printed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import write
from sandbox.cli.session import open_engine

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments
    from sandbox.runtime.log import Record


def _logs(arguments: Arguments, home: str) -> int:
    tail = _tail(arguments)
    engine = open_engine(home)
    stamps = Stamps() if arguments.flag("timestamps") else None
    for record in engine.logs(arguments.operands[0], follow=arguments.flag("follow"), tail=tail):
        write(record.stream, stamps.stamped(record) if stamps else record.data)
    return 0


def _tail(arguments: Arguments) -> int | None:
    text = arguments.text("tail", "all")
    if text == "all":
        return None
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"--tail {text!r} is not a number of lines", hint="a number, or all")
    return int(text)


class Stamps:
    """Puts the time before each line; a line may be spread over several records."""

    def __init__(self) -> None:
        self._inside: set[int] = set()  # streams in the middle of a line

    def stamped(self, record: Record) -> bytes:
        """The record's bytes, with its time at the beginning of each line."""
        stamp = moment(record.time)
        lines = _lines(record.data)
        first = b"" if record.stream in self._inside else stamp
        if record.data.endswith(b"\n"):
            self._inside.discard(record.stream)
        else:
            self._inside.add(record.stream)
        return first + stamp.join(lines)


def _lines(data: bytes) -> list[bytes]:
    """Cut after each newline, and at nothing else."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def moment(nanoseconds: int) -> bytes:
    """RFC 3339 with nanoseconds and a space, as docker has it."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z ".encode()


VERBS = {
    "logs": Verb(
        Syntax(
            "print what a container has printed",
            "CONTAINER",
            (
                Option(("-f", "--follow"), "go on until it ends"),
                Option(("-n", "--tail"), "only the last lines (all)", "LINES"),
                Option(("-t", "--timestamps"), "put the time before each line"),
            ),
        ),
        _logs,
    )
}
