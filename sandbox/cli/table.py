"""Tables and figures for people: docker's columns, ages and sizes. Pure; the time comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_GAP = 3
_STEPS = ((60, 1, "second"), (3600, 60, "minute"), (48 * 3600, 3600, "hour"), (14 * 86400, 86400, "day"))
_LONG_STEPS = ((60 * 86400, 7 * 86400, "week"), (2 * 365 * 86400, 30 * 86400, "month"))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Left-aligned columns, three spaces apart, with a newline at the end."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) + _GAP for column in range(len(headings))]
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def printable(text: str) -> str:
    """The text with a question mark for each character that would do something to a terminal, or is not text at all.
    Images and containers have names, labels and paths of anybody's making.
    """
    return "".join(character if character.isprintable() else "?" for character in text)


def duration(seconds: float) -> str:
    """As docker says it (go-units HumanDuration): `5 seconds`, `About a minute`, `3 hours`, `2 weeks`."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if 60 <= whole < 120:
        return "About a minute"
    hours = round(seconds / 3600)
    if whole >= 3600 and hours == 1:
        return "About an hour"
    for limit, unit, name in _STEPS + _LONG_STEPS:
        if whole < limit:
            return f"{hours if name == 'hour' else whole // unit} {name}s"
    return f"{whole // (365 * 86400)} years"


def ago(moment: float, now: float) -> str:
    """`3 minutes ago`; a moment in the future, by a clock that was set, counts as now."""
    return f"{duration(max(0.0, now - moment))} ago"


def size(count: float) -> str:
    """Bytes with a decimal unit and three significant figures, as docker: `4.26MB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 999.5 or unit == "TB":
            break
        count /= 1000
    return f"{count:.3g}{unit}" if count < 999.5 else f"{count:.0f}{unit}"


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters, the last an ellipsis where something is left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
