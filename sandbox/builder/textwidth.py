"""How many cells of a terminal a text takes: two for East Asian wide characters, none for combining ones. Pure."""

from __future__ import annotations

import unicodedata


def width(text: str) -> int:
    """In cells; the text has no control characters."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def cut(text: str, columns: int) -> str:
    """The text, or as much of it as fits, with an ellipsis then."""
    if width(text) <= columns:
        return text
    left, kept = columns - 1, 0
    for character in text:
        left -= _cells(character)
        if left < 0:
            break
        kept += 1
    return text[:kept] + "…" if columns > 0 else ""


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
