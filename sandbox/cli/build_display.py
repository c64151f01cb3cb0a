"""How `sandbox build` shows its progress on standard error: `--progress`, what it is there, and NO_COLOR."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sandbox.cli.output import write

if TYPE_CHECKING:
    from sandbox.builder.display_tree import Size
    from sandbox.builder.progress import Display

_DUMB = ("", "dumb", "unknown")
_STANDARD = (24, 80)  # of terminals that do not say


def display(form: str) -> Display:
    """The display of a form; `auto` is a tree on a terminal that can show one, else plain lines."""
    if form == "auto":
        form = "tty" if os.isatty(2) and os.environ.get("TERM", "") not in _DUMB else "plain"
    if form == "tty":
        from sandbox.builder.display_tree import TreeDisplay  # noqa: PLC0415  (each build needs one of them)

        colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in _DUMB
        return TreeDisplay(lambda text: write(2, text.encode("utf-8", "replace")), _size, colour=colour)
    if form == "rawjson":
        from sandbox.builder.display_json import JsonDisplay  # noqa: PLC0415

        return JsonDisplay(lambda data: write(2, data), _now)
    from sandbox.builder.display_plain import PlainDisplay  # noqa: PLC0415

    return PlainDisplay((lambda _: None) if form == "quiet" else (lambda data: write(2, data)))


def _size() -> Size:
    from sandbox.builder.display_tree import Size  # noqa: PLC0415

    try:
        columns, rows = os.get_terminal_size(2)
    except OSError:
        rows, columns = 0, 0
    return Size(rows or _STANDARD[0], columns or _STANDARD[1])


def _now() -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"
