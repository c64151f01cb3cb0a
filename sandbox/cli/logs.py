"""`sandbox logs`: what a container has printed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sandbox.cli.options import Option, Syntax, UsageError, Verb
from sandbox.cli.output import write
from sandbox.cli.session import open_engine

if TYPE_CHECKING:
    from sandbox.cli.options import Arguments
    from sandbox.runtime.config import ContainerConfig
    from sandbox.runtime.log import Record


def _logs(arguments: Arguments, home: str) -> int:
    tail = _tail(arguments)
    since, until = _moment(arguments, "since"), _moment(arguments, "until")
    engine = open_engine(home)
    name = arguments.operands[0]
    prefix = _details(engine.config(name)) if arguments.flag("details") else b""
    times = arguments.flag("timestamps")
    stamps = Stamps(prefix, times=times) if times or prefix else None
    for record in engine.logs(name, follow=arguments.flag("follow"), tail=tail, since=since, until=until):
        write(record.stream, stamps.stamped(record) if stamps else record.data)
    return 0


def _moment(arguments: Arguments, key: str) -> int | None:
    if not arguments.given(key):
        return None
    from sandbox.cli.moments import parse  # noqa: PLC0415  (brings regular expressions)

    return parse(arguments.text(key), f"--{key}", time.time())


def _details(config: ContainerConfig) -> bytes:
    """What `--log-opt labels=…` and `env=…` chose, as docker puts it before each line: `a=1,b=2 `."""
    options = config.spec.log_options
    variables = dict(entry.partition("=")[::2] for entry in config.environment)
    found = []
    for key, source in (("labels", config.spec.labels), ("env", variables)):
        wanted = options.get(key, "").split(",")
        found += [f"{name}={source[name]}" for name in wanted if name in source]
    return f"{','.join(sorted(found))} ".encode()


def _tail(arguments: Arguments) -> int | None:
    text = arguments.text("tail", "all")
    if text == "all":
        return None
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"--tail {text!r} is not a number of lines", hint="a number, or all")
    return int(text)


class Stamps:
    """Puts the time, and `prefix`, before each line; a line may be spread over several records."""

    def __init__(self, prefix: bytes = b"", *, times: bool = True) -> None:
        self._prefix = prefix
        self._times = times
        self._inside: set[int] = set()  # streams in the middle of a line

    def stamped(self, record: Record) -> bytes:
        """The record's bytes, with its time at the beginning of each line."""
        stamp = (moment(record.time) if self._times else b"") + self._prefix
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
                Option(("--details",), "put what --log-opt labels=… and env=… chose before each line"),
                Option(("-f", "--follow"), "go on until it ends"),
                Option(("--since",), "only what was printed since then: 10m, a date, seconds", "WHEN"),
                Option(("--until",), "only what was printed until then", "WHEN"),
                Option(("-n", "--tail"), "only the last lines (all)", "LINES"),
                Option(("-t", "--timestamps"), "put the time before each line"),
            ),
        ),
        _logs,
    )
}
