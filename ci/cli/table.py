"""Columns for people, and JSON for programs: what verbs that list something print."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_BETWEEN = "  "


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines with a head; what is not printable (anybody may have written it) is shown by its number."""
    shown = [[_printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (heads, *shown)) for column in range(len(heads))]
    lines = (
        _BETWEEN.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (heads, *shown)
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def write(value: Any, *, as_json: bool, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one or the other."""
    if as_json:
        json.dump(value, sys.stdout, ensure_ascii=False, indent=2)
        sys.stdout.write("\n")
    else:
        sys.stdout.write(table(heads, rows))


def ago(seconds: float) -> str:
    """How long a time is past: 5 min ago."""
    if not seconds:
        return ""
    past = max(0, int(time.time() - seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if past >= size:
            return f"{past // size} {unit} ago"
    return f"{past} s ago"


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
