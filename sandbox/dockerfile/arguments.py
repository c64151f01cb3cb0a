"""What stands behind an instruction's keyword and flags, in the forms that instructions have.

A `Statement` is one instruction's text with its flags cut off; the functions read its arguments as words, pairs, a
command. Each raises `Mistake` with the place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox.dockerfile.diagnostics import Mistake
from sandbox.dockerfile.instructions import Command
from sandbox.dockerfile.jsonform import json_words, require_strings
from sandbox.dockerfile.source import is_space
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from sandbox.dockerfile.flags import FlagReader
    from sandbox.dockerfile.heredoc import Heredoc

_WORD = re.compile(r"[^\t\v\f\r ]+")
_BLANK = re.compile(r"[\t\v\f\r ]+")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})(ns|us|µs|μs|ms|s|m|h)")


class Statement(NamedTuple):
    """An instruction's arguments: their text, and its offset in the logical line."""

    keyword: str
    text: str
    start: int
    flags: FlagReader
    heredocs: tuple[Heredoc, ...]
    escape: str

    @property
    def name(self) -> str:
        """The keyword in capitals."""
        return self.keyword.upper()

    @property
    def end(self) -> int:
        """The offset behind the arguments."""
        return self.start + len(self.text)

    def mistake(self, code: str, message: str, hint: str = "") -> Mistake:
        """A mistake that lies in the arguments."""
        return (
            Mistake(code, message, hint=hint, start=self.start, end=self.end)
            if self.text
            else Mistake(code, message, hint=hint)
        )


def words(statement: Statement) -> list[tuple[str, int]]:
    """Words between blanks, quotes and all, each with its offset in the logical line."""
    return [(match[0], statement.start + match.start()) for match in _WORD.finditer(statement.text)]


def words_or_json(statement: Statement) -> tuple[str, ...]:
    """The strings of a JSON array, else the words."""
    require_strings(statement.text, statement.start)
    found = json_words(statement.text)
    return found if found is not None else tuple(word for word, _ in words(statement))


def single(statement: Statement) -> str:
    """All of the text as one value."""
    if not statement.text:
        raise statement.mistake("arguments", f"{statement.name} requires exactly one argument")
    return statement.text


def command(statement: Statement, text: str | None = None) -> Command:
    """A command in either form."""
    text = statement.text if text is None else text
    require_strings(text, statement.end - len(text))
    found = json_words(text)
    if found is not None:
        return Command(words=found, in_shell=False)
    return Command(words=(text,) if text else (), in_shell=True, heredocs=statement.heredocs)


def quoted_words(text: str, escape: str) -> list[str]:
    """Words that blanks in quotes do not end; quotes and escapes stay in them."""
    found: list[str] = []
    start, quote, position = -1, "", 0
    parts: list[str] = []
    while position < len(text):
        character = text[position]
        if not quote and is_space(character):
            if start >= 0:
                found.append("".join(parts))
                parts, start = [], -1
            position += 1
            continue
        start = position if start < 0 else start
        if character == escape and quote != "'":
            if position + 1 < len(text):
                parts.append(text[position : position + 2])
            position += 2
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        parts.append(character)
        position += 1
    if start >= 0 and parts:
        found.append("".join(parts))
    return found


def pairs(statement: Statement) -> tuple[tuple[tuple[str, str], ...], bool]:
    """`name=value …`, or the old `name value`; and whether it was the old form."""
    found = quoted_words(statement.text, statement.escape)
    if not found:
        raise statement.mistake("arguments", f"{statement.name} requires at least one argument")
    if "=" not in found[0]:
        parts = _BLANK.split(statement.text, maxsplit=1)
        if len(parts) < 2:
            raise statement.mistake(
                "arguments", f"{statement.name} must have two arguments", f"write {statement.name} {parts[0]}=VALUE"
            )
        return ((parts[0], parts[1]),), True
    result = []
    for word in found:
        name, separator, value = word.partition("=")
        if not separator:
            raise statement.mistake(
                "pair", f"there is no = in {word!r}", "each is name=value; quote values with blanks"
            )
        if not name:
            raise statement.mistake("pair", f"{statement.name} has an empty name before the =")
        result.append((name, value))
    return tuple(result), False


def duration(text: str, name: str) -> int:
    """Go's duration, such as `1m30s`, in nanoseconds."""
    position, total = 0, 0.0
    if text == "0":
        return 0
    while match := _DURATION.match(text, position):
        total += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not text or position != len(text):
        raise Mistake("duration", f"--{name} is a duration such as 30s, not {text!r}")
    if 0 < total < 10**6:
        raise Mistake("duration", f"--{name} cannot be less than 1ms")
    return int(total)
