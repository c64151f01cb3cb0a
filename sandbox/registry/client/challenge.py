"""What a registry asks for with status 401: the header WWW-Authenticate, read. Pure.

Source: RFC 9110, 11.6.1; distribution, docs/spec/auth/token.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LONGEST = 8192  # characters of one header
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Challenge(NamedTuple):
    """One way to show who we are. `scheme` and the names of parameters are lower case."""

    scheme: str
    parameters: Mapping[str, str]


def parse(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """The challenges of all headers of that name, in order. What cannot be read ends its header."""
    found: list[Challenge] = []
    for header in headers:
        found += _parse(header[:_LONGEST])
    return tuple(found)


def _parse(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    position = 0
    while True:
        position = _skip(text, position, " \t,")
        word, position = _word(text, position)
        if not word:
            return found
        after = _skip(text, position, " \t")
        if after < len(text) and text[after] == "=" and found:
            value, position = _value(text, _skip(text, after + 1, " \t"))
            found[-1].parameters[word.lower()] = value  # type: ignore[index]
        else:
            found.append(Challenge(word.lower(), {}))


def _skip(text: str, position: int, blanks: str) -> int:
    while position < len(text) and text[position] in blanks:
        position += 1
    return position


def _word(text: str, position: int) -> tuple[str, int]:
    end = position
    while end < len(text) and text[end] in _TOKEN:
        end += 1
    return text[position:end], end


def _value(text: str, position: int) -> tuple[str, int]:
    """A word, or a text in quotes with its escapes."""
    if position >= len(text) or text[position] != '"':
        return _word(text, position)
    parts = []
    position += 1
    while position < len(text) and text[position] != '"':
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
        parts.append(text[position])
        position += 1
    return "".join(parts), position + 1
