"""Lines as JSON has them: `[text, seconds since 1970]`, and `[…, left out, kept]` of one that is too long to be whole.

Lines are counted from 1 here, as people do. What is no UTF-8 becomes U+FFFD; the exact bytes are what `raw` is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.logs.reading import Line, Reader


def document(reader: Reader, first: int, lines: Iterable[Line]) -> dict[str, Any]:
    """Some lines with where they stand in the log."""
    return {
        "first": first,
        "count": reader.count,
        "size": reader.size,
        "ended": reader.ended,
        "lines": [_line(line) for line in lines],
    }


def _line(line: Line) -> list[str | float | int]:
    if not line.left_out:
        return [text(line.text), round(line.time, 3)]
    # The two ends are decoded alone: a character that is cut in two is no reason to lose its neighbours.
    head = text(line.text[: line.kept])
    return [head + text(line.text[line.kept :]), round(line.time, 3), line.left_out, _units(head)]


def text(data: bytes) -> str:
    """Bytes of a log as text."""
    return data.decode("utf-8", "replace")


def _units(value: str) -> int:
    """How long JavaScript says it is."""
    return len(value.encode("utf-16-le")) // 2
