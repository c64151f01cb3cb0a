"""Outputs of steps: what a step hands to later ones by names. How they are named in a file, and written by a step.

A step writes to the file `$CI_OUTPUT`, in the form that GitHub's `$GITHUB_OUTPUT` has, so that it is known:
`NAME=value`, or, for several lines, `NAME<<WORD`, the lines, and `WORD` on a line of its own. Pure; what is written is
data of a stranger, read by `parse` with limits, and goes into environments only.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ci.pipeline.values import BadValue

VARIABLE = "CI_OUTPUT"
FILE_LIMIT = 1 << 20  # bytes
VALUE_LIMIT = 64 * 1024  # bytes; one string of an environment may have twice as many (execve(2), MAX_ARG_STRLEN)
COUNT_LIMIT = 100

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}", re.ASCII)
_BEGIN = re.compile(r"([^=<]*)(=|<<)(.*)", re.DOTALL)


class OutputError(ValueError):
    """A file of outputs that cannot be read; the message names the line."""


class Reference(NamedTuple):
    """The output `name` of a step."""

    step: str
    name: str

    def __str__(self) -> str:
        return f"{self.step}.{self.name}"


def reference(text: str) -> Reference:
    """`step.name`; a step's name may hold dots, an output's not. Raises BadValue."""
    step, _, name = text.rpartition(".")
    if not step or not _NAME.fullmatch(name):
        raise BadValue("bad-output", f'"{text}" names no output', 'write the step and the output: "build.version"')
    return Reference(step, name)


def parse(data: bytes) -> dict[str, str]:
    """The outputs of a file, a later one of a name in place of an earlier. Raises OutputError."""
    if len(data) > FILE_LIMIT:
        raise OutputError(f"the outputs are larger than {FILE_LIMIT >> 20} MiB")
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise OutputError(f"line {number} of the outputs is not UTF-8") from None
    found: dict[str, str] = {}
    number = 0
    while number < len(lines):
        line, number = lines[number], number + 1
        if not line.strip():
            continue
        name, value, number = _one(line, lines, number)
        if len(value.encode()) > VALUE_LIMIT:
            raise OutputError(f"the output {name} is larger than {VALUE_LIMIT >> 10} KiB")
        found[name] = value
        if len(found) > COUNT_LIMIT:
            raise OutputError(f"there are more than {COUNT_LIMIT} outputs")
    return found


def _one(line: str, lines: list[str], number: int) -> tuple[str, str, int]:
    """Name and value of the output that begins with `line`, and the number of the line behind it."""
    match = _BEGIN.fullmatch(line)
    if match is None or not _NAME.fullmatch(match[1]) or "\0" in line:
        raise OutputError(f'line {number} of the outputs is no "NAME=value"')
    if match[2] == "=":
        return match[1], match[3], number
    word = match[3].strip()
    try:
        end = lines.index(word, number) if word else -1
    except ValueError:
        end = -1
    if end < 0:
        raise OutputError(f'line {number} of the outputs: there is no end "{word}" for {match[1]}')
    value = "\n".join(lines[number:end])
    if "\0" in value:
        raise OutputError(f"the output {match[1]} holds a NUL character")
    return match[1], value, end + 1
