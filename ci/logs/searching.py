"""Searching a log: in which lines a text is. The bytes are gone through piece by piece; nothing else is kept of them.

The text is literal. Where case does not matter, ASCII is compared folded, and a text with other letters is looked for
in all forms of these.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ci.errors import CiError
from ci.logs.marks import STRIDE

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.logs.reading import Reader

LONGEST_TEXT = 1000  # characters
MOST_LINES = 10_000  # of one answer


class Found(NamedTuple):
    """Lines that have the text, in order. `next`: the offset to go on from, None where all has been searched."""

    lines: tuple[int, ...]
    next: int | None


def search(
    reader: Reader, text: str, *, begin: int = 0, fold: bool = False, most: int = MOST_LINES, budget: int = 1 << 30
) -> Found:
    """Search from the line at offset `begin` on, until `most` lines are found or `budget` bytes are searched.

    Raises CiError for a text that no line can have.
    """
    if not text or len(text) > LONGEST_TEXT or "\n" in text:
        raise CiError(
            "this text cannot be searched for", hint=f"1 to {LONGEST_TEXT} characters", reference="bad-search"
        )
    find, longest = _finder(text, fold=fold)
    found: list[int] = []
    offset, skipping = begin, False
    while block := reader.read(offset, STRIDE):
        at = 0
        if skipping:  # the rest of a line that is found already
            at = block.find(b"\n") + 1
            skipping = at == 0
        # Counted on from the last one found: a piece of which every line has the text is not counted anew for each.
        line, counted = None, 0
        while not skipping and (hit := find(block, at)) >= 0:
            if len(found) == most:
                return Found(tuple(found), offset + at)
            line = (reader.line_at(offset) if line is None else line) + block.count(b"\n", counted, hit)
            counted = hit
            found.append(line)
            at = block.find(b"\n", hit) + 1
            skipping = at == 0
        if len(block) < STRIDE or offset + len(block) >= reader.size:
            return Found(tuple(found), None)
        if offset - begin >= budget:
            return Found(tuple(found), offset)
        # What may be the beginning of the text is looked at again, unless the line has been found.
        offset += len(block) if skipping else max(at, len(block) - longest + 1)
    return Found(tuple(found), None)


def _finder(text: str, *, fold: bool) -> tuple[Callable[[bytes, int], int], int]:
    """What finds the text in a piece from an index on, and how many bytes it has at most."""
    data = text.encode("utf-8", "surrogatepass")
    if not fold or text.lower() == text.upper():
        return (lambda block, at: block.find(data, at)), len(data)
    if text.isascii():
        return _Folded(data.lower()), len(data)
    forms = [sorted({form.encode() for form in (one, one.lower(), one.upper())}) for one in text]
    pattern = re.compile(b"".join(b"(?:" + b"|".join(map(re.escape, form)) + b")" for form in forms))

    def find(block: bytes, at: int) -> int:
        match = pattern.search(block, at)
        return match.start() if match else -1

    return find, sum(max(map(len, form)) for form in forms)


class _Folded:
    """Finds a lower-case text in a piece, which is folded once for all that is found in it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._block = self._lower = b""

    def __call__(self, block: bytes, at: int) -> int:
        if self._block is not block:
            self._block, self._lower = block, block.lower()
        return self._lower.find(self._data, at)
