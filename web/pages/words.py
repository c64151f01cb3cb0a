"""How values are written on pages: filters for the templates. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from flask import Flask

    from ci.store.records import Stage
    from ci.store.states import State

_SYMBOLS = {
    "success": "✓",
    "failure": "✕",
    "error": "!",
    "running": "●",
    "pending": "○",
    "blocked": "‖",
    "killed": "■",
    "skipped": "–",
    "declined": "×",
}


def state(value: State) -> Markup:
    """A state as a word with a symbol: its colour is not all that tells it."""
    return Markup('<span class="state {0}"><span aria-hidden="true">{1}</span> {0}</span>').format(
        str(value), _SYMBOLS.get(str(value), "")
    )


def symbol(value: State) -> Markup:
    """The symbol alone, with the word for who hears the page."""
    return Markup(
        '<span class="state {0}" title="{0}"><span aria-hidden="true">{1}</span><span class="heard">{0}</span></span>'
    ).format(str(value), _SYMBOLS.get(str(value), ""))


def moment(seconds: float) -> Markup:
    """A time, in UTC; a script writes it as the reader's own, and as how long ago."""
    if not seconds:
        return Markup("")
    time = datetime.fromtimestamp(seconds, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        time.isoformat(timespec="seconds"), time.strftime("%Y-%m-%d %H:%M UTC")
    )


def took(started: float, finished: float) -> Markup:
    """How long something took, or how long it has been running: a script counts on."""
    if not started:
        return Markup("")
    if finished:
        return escape(duration(finished - started))
    return Markup('<span data-since="{}">…</span>').format(f"{started:.3f}")


def duration(seconds: float) -> str:
    """0.4 s, 12 s, 3 min 5 s, 2 h 10 min."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def stage_title(stage: Stage) -> str:
    """A Stage's name with the cell of its matrix."""
    cell = ", ".join(f"{key}={value}" for key, value in stage.matrix.items())
    return f"{stage.name} ({cell})" if cell else stage.name


def register(app: Flask) -> None:
    """Give the templates these filters."""
    for function in (state, symbol, moment, duration, stage_title):
        app.add_template_filter(function)
    app.add_template_global(took)
