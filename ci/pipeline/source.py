"""The text of a pipeline file and the places in it.

Everything that comes out of a file keeps the `Position` it was written at, as a `Text`, until it is compiled, so that a
mistake found late (after a matrix variable was put in, say) is still shown with its line and column. `Position` and
`Text` are named tuples and not dataclasses because a file of 500 steps makes 30,000 of them: a frozen dataclass costs
four times as much to make.

`read` is the first thing that sees the bytes: it refuses, with one diagnostic, what is not sane UTF-8 text of a sane
size.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE_LIMIT = 1024 * 1024  # bytes. A file of 500 steps is 130 kB; what is larger was not written by a person.

# The line breaks of a file. YAML 1.1 breaks lines at U+0085, U+2028 and U+2029 as well; those are refused below,
# because editors do not, and every line number would differ.
LINE_BREAK = re.compile(r"\r\n|\n|\r")

# YAML 1.2 §5.1, c-printable, less the three above; U+FEFF is allowed by YAML inside a text, and is invisible
# everywhere: refused as well. Compiled only for a file that holds anything unusual: that takes longer than to read the
# file.
_NOT_ALLOWED = "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"


# Zero-width and reordering characters, soft hyphens, fillers, tags.
_INVISIBLE = "[\u00ad\u115f\u1160\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\u3164\U000e0000-\U000e007f]"
# What looks like a blank, or like one of YAML's own characters, and is none.
_LOOKALIKES = {
    **dict.fromkeys("\u00a0\u1680\u202f\u205f\u3000", "a blank"),
    **{chr(code): "a blank" for code in range(0x2000, 0x200B)},
    **{chr(ord(mark) + 0xFEE0): f'"{mark}"' for mark in ":,-#[]{}\"'&*!|>%@"},
}


class Position(NamedTuple):
    """A stretch of a file:

    from line and column (both from 1) up to, and without, the end. Line 0: nowhere in a file. `file` 0 is the file that
    is read, the others are those that it includes, in the order of the report's sources.
    """

    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0
    file: int = 0


NOWHERE = Position()


class Text(NamedTuple):
    """A string, and where it was written."""

    value: str
    position: Position = NOWHERE

    def part(self, start: int, end: int) -> Text:
        """The characters from `start` to `end`, with their own position where it can be known, and else the whole's."""
        line, column, end_line, end_column, file = self.position
        quotes = end_column - column - len(self.value)
        if line == end_line and quotes in {0, 2}:  # without escapes: as long as its text, and perhaps two quotes
            column += quotes // 2
            return Text(self.value[start:end], Position(line, column + start, line, column + end, file))
        return Text(self.value[start:end], self.position)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file's name, as the user wrote it, and its text. `lines` are without their breaks; line 1 is `lines[0]`."""

    filename: str
    text: str
    lines: tuple[str, ...]


class SourceError(Exception):
    """The bytes are no text to be parsed. `code` and `message` are those of the diagnostic that reports it."""

    def __init__(self, source: Source, position: Position, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.source = source
        self.position = position
        self.code = code
        self.message = message
        self.hint = hint


def source(filename: str, text: str) -> Source:
    """A Source of text that is known to be sane."""
    return Source(filename=filename, text=text, lines=tuple(LINE_BREAK.split(text)))


def read(data: bytes | str, filename: str) -> Source:
    """Decode a file.

    Raises SourceError for what is too large, is not UTF-8 or holds characters that YAML does not allow.
    """
    if len(data) > SIZE_LIMIT:
        raise SourceError(
            source(filename, ""),
            Position(1, 1, 1, 1),
            "file-too-large",
            f"the file has more than {SIZE_LIMIT // 1024 // 1024} MiB",
            "move long scripts to files of the repository and call them",
        )
    text = data if isinstance(data, str) else _decode(data, filename)
    text = text.removeprefix("\ufeff")  # a byte order mark at the start is an editor's habit, and harmless
    result = source(filename, text)
    usual = text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable()
    if not usual and (bad := re.search(_NOT_ALLOWED, text)):
        raise _character_error(result, bad.start())
    return result


def invisible(origin: Source) -> Iterator[tuple[Position, str]]:
    """Characters that make a line read otherwise than it is shown (CVE-2021-42574), and their places."""
    if origin.text.isascii():
        return
    for number, line in enumerate(origin.lines, 1):
        if not line.isascii():
            for match in re.finditer(_INVISIBLE, line):
                yield Position(number, match.start() + 1, number, match.end() + 1), match[0]


def lookalike(line: str) -> str:
    """What is said of the first character of a line that is not what it looks like; empty where there is none."""
    for column, character in enumerate(line, 1):
        if meant := _LOOKALIKES.get(character):
            return f"the character in column {column}, U+{ord(character):04X}, looks like {meant} and is none"
    return ""


def _decode(data: bytes, filename: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = source(filename, data[: error.start].decode("utf-8"))
        line, column = len(before.lines), len(before.lines[-1]) + 1
        shown = source(filename, data.decode("utf-8", "replace"))
        hint = "save the file as UTF-8"
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            hint = "the file looks like UTF-16: save it as UTF-8"
        message = f"the file is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}"
        raise SourceError(shown, Position(line, column, line, column + 1), "not-utf8", message, hint) from None


def _character_error(origin: Source, offset: int) -> SourceError:
    before = LINE_BREAK.split(origin.text[:offset])
    line, column = len(before), len(before[-1]) + 1
    character = origin.text[offset]
    message = f"the character U+{ord(character):04X} cannot be in a pipeline file"
    hint = f'remove it; a string that needs it has it as an escape in double quotes: "\\u{ord(character):04x}"'
    if character == "\0":
        hint = "is this a binary file, or UTF-16?"
    return SourceError(origin, Position(line, column, line, column + 1), "bad-character", message, hint)
