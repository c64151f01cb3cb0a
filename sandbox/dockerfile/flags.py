"""Flags of instructions: `--name=value` before the arguments.

`split_flags` cuts them off with quotes and backslashes taken away; `FlagReader` checks them against those that an
instruction knows. Docker's rules: a flag without `=` is a switch that is on, and only `--mount`, `--device` and
`--exclude` repeat.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sandbox.dockerfile.diagnostics import Mistake, did_you_mean
from sandbox.dockerfile.source import is_space
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEYWORD = re.compile(r"[ \t\v\f\r]*([^ \t\v\f\r]*)[ \t\v\f\r]*")


class Flag(NamedTuple):
    """A flag's text, unquoted, and where it stands in its logical line."""

    text: str
    start: int
    end: int

    @property
    def name(self) -> str:
        """Without the dashes."""
        return self.text[2:].partition("=")[0]

    @property
    def value(self) -> str | None:
        """What is behind the `=`, None where there is none."""
        return self.text.partition("=")[2] if "=" in self.text else None


def split_keyword(text: str, start: int = 0) -> tuple[str, int]:
    """The first word, and the offset of what is behind it and the blanks."""
    match = _KEYWORD.match(text, start)
    return (match[1], match.end()) if match else ("", start)


def split_flags(text: str, start: int) -> tuple[list[Flag], int]:
    """The flags from offset `start` on, and the offset of the first argument; `--` alone ends them."""
    flags: list[Flag] = []
    position = start
    while True:
        while position < len(text) and is_space(text[position]):
            position += 1
        if not text.startswith("--", position):
            return flags, position
        word, end = _word(text, position)
        if word == "--":
            while end < len(text) and is_space(text[end]):
                end += 1
            return flags, end
        flags.append(Flag(word, position, end))
        position = end


def _word(text: str, start: int) -> tuple[str, int]:
    result: list[str] = []
    quote = ""
    position = start
    while position < len(text):
        character = text[position]
        if not quote and is_space(character):
            break
        position += 1
        if character == "\\":
            result.append(text[position : position + 1])
            position += 1
        elif quote:
            if character == quote:
                quote = ""
            else:
                result.append(character)
        elif character in "'\"":
            quote = character
        else:
            result.append(character)
    return "".join(result), min(position, len(text))


class FlagReader:
    """The flags of one instruction, taken out one by one; `finish` refuses what is left."""

    def __init__(self, keyword: str, flags: Sequence[Flag]) -> None:
        self._keyword = keyword
        self._flags = flags
        self._known: list[str] = []

    def text(self, name: str) -> str:
        """The value of a flag that stands once at most; empty where it is absent."""
        values = self.texts(name)
        if len(values) > 1:
            second = [flag for flag in self._flags if flag.name == name][1]
            raise _mistake("duplicate-flag", second, f"flag --{name} is given twice")
        return values[0] if values else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """The values of a flag that may repeat."""
        return tuple(flag.value or "" for flag in self.all(name))

    def all(self, name: str) -> list[Flag]:
        """The flags of a name that take a value, with their places."""
        self._known.append(name)
        found = [flag for flag in self._flags if flag.name == name]
        for flag in found:
            if flag.value is None:
                raise _mistake("flag-value", flag, f"flag --{name} has no value", f"write --{name}=VALUE")
        return found

    def switch(self, name: str) -> bool | None:
        """`--name`, `--name=true` or `--name=false`; None where it is absent."""
        self._known.append(name)
        found = [flag for flag in self._flags if flag.name == name]
        if not found:
            return None
        if len(found) > 1:
            raise _mistake("duplicate-flag", found[1], f"flag --{name} is given twice")
        value = found[0].value
        if value is not None and value.lower() not in ("true", "false"):
            raise _mistake("flag-value", found[0], f"flag --{name} is true or false, not {value!r}")
        return value is None or value.lower() == "true"

    def finish(self) -> None:
        """Refuse a flag that nobody asked for."""
        for flag in self._flags:
            if flag.name not in self._known:
                hint = did_you_mean(flag.name, self._known, "--")
                if not hint:
                    known = ", ".join(f"--{name}" for name in self._known)
                    hint = f"{self._keyword} knows {known}" if known else f"{self._keyword} has no flags"
                raise _mistake("unknown-flag", flag, f"unknown flag --{flag.name} of {self._keyword}", hint)


def _mistake(code: str, flag: Flag, message: str, hint: str = "") -> Mistake:
    return Mistake(code, message, hint=hint, start=flag.start, end=flag.end)
