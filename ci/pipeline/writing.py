"""Plain values → YAML text, as a person would write it: block style, quotes only where they are needed.

Pure, used by `convert`. Values are dicts, lists, strings, booleans; everything else is written as its `str`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ci.pipeline.nodes import Kind
from ci.pipeline.yaml import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

# What may stand without quotes: no indicator at the beginning, no ": " and no " #" (YAML 1.2, 7.3.3), and no word that
# YAML 1.1 takes for something else.
_PLAIN = re.compile(r"[A-Za-z0-9_./$+(][A-Za-z0-9_./$+()=@%^*{}\[\]<>|&;\"'\\~!?:,# -]*")
_WORDS = frozenset(("yes", "no", "on", "off", "y", "n"))


def write(value: Any) -> str:
    """The text, ending in a line break."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    """The lines of a map, a list or a single value."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _entry(f"{_scalar(str(key))}:", part)
    elif isinstance(value, list) and value:
        for item in value:
            yield from _item(item)
    else:
        yield _single(value)


def _entry(head: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield head
        yield from (f"  {line}" for line in _lines(value))
    elif _is_block(value):
        yield from _block(head, value)
    else:
        yield f"{head} {_single(value)}"


def _item(value: Any) -> Iterator[str]:
    if _is_block(value):
        yield from _block("-", value)
        return
    for number, line in enumerate(_lines(value)):
        yield f"{'  ' if number else '- '}{line}"


def _is_block(value: Any) -> bool:
    """Whether a text is written line by line: it can be, where no line of it is all blanks or begins the text so."""
    if not isinstance(value, str) or "\n" not in value.rstrip("\n"):
        return False
    lines = value.rstrip("\n").split("\n")
    return (
        value.replace("\n", "").isprintable()
        and not lines[0].startswith(" ")
        and all(line == line.rstrip() for line in lines)
    )


def _block(head: str, value: str) -> Iterator[str]:
    kept = len(value) - len(value.rstrip("\n"))
    yield f"{head} |{'-' if not kept else '' if kept == 1 else '+'}"
    for line in value.rstrip("\n").split("\n") + [""] * (kept - 1):
        yield f"  {line}".rstrip()


def _single(value: Any) -> str:
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list):
        return "[]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _scalar(str(value))


def _scalar(text: str) -> str:
    """A single value that is read as this very text."""
    plain = (
        _PLAIN.fullmatch(text)
        and ": " not in text
        and " #" not in text
        and not text.endswith((":", " "))
        and kind_of(text) is not Kind.BOOLEAN
        and text.lower() not in _WORDS
    )
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    """In double quotes: JSON's escapes are YAML's, but for pairs of surrogates."""
    quoted = json.dumps(text, ensure_ascii=False)
    if quoted.isprintable():
        return quoted
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in quoted)
