"""`${NAME}` in the values of a pipeline file.

Substitution happens on the typed scalars of a parsed document: a value is never parsed as YAML again, so that no
branch's name and no message can add a key or a step. Only `${NAME}` is looked at. `$$` is one `$`. `$NAME` and any
other `$` stay as they are. Commands are not substituted at all: there, `$NAME` and `${NAME}` are the shell's, which
finds the same variables in its environment, and a branch called `$(id)` stays a value.

`parse` takes a string apart into literals and parameters; `expand` puts it together. This is `.ci.yml`'s; the dialects
that replace in the whole file, with operators (`${NAME:-word}`), have `envsubst`. Linear in the length of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_DOLLAR = re.compile(r"\$\$|\$\{([^{}$]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SubstitutionError(ValueError):
    """A `${` that is not understood, at `start` to `end` of the text."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.end = end


@dataclass(frozen=True, slots=True)
class Parameter:
    """`${name}`, written from `start` to `end` of the text."""

    name: str
    start: int
    end: int


def parse(text: str) -> tuple[str | Parameter, ...]:
    """The text as literals (`$$` already made `$`) and parameters, in order. Raises SubstitutionError."""
    if "$" not in text:
        return (text,) if text else ()
    parts: list[str | Parameter] = []
    literal = ""
    last = 0
    for match in _DOLLAR.finditer(text):
        literal += text[last : match.start()]
        last = match.end()
        if match[1] is None:
            literal += "$"
            continue
        if not _NAME.fullmatch(match[1]):
            raise SubstitutionError(f'"{match[0]}" does not name a variable', match.start(), match.end())
        if not match[2]:
            raise SubstitutionError(f'"{match[0]}" has no "}}" after it', match.start(), match.end())
        if literal:
            parts.append(literal)
            literal = ""
        parts.append(Parameter(match[1], match.start(), match.end()))
    literal += text[last:]
    if literal:
        parts.append(literal)
    return tuple(parts)


def parameters(text: str) -> tuple[Parameter, ...]:
    """The variables that a text names, in order. Raises SubstitutionError."""
    return tuple(part for part in parse(text) if isinstance(part, Parameter)) if "${" in text else ()


def expand(text: str, lookup: Callable[[str], str | None]) -> str:
    """The text with each variable's value; one that `lookup` does not know becomes empty. Raises SubstitutionError."""
    if "$" not in text:
        return text
    return "".join(part if isinstance(part, str) else lookup(part.name) or "" for part in parse(text))
