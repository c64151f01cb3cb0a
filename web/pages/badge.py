"""A badge: a small picture with the state of a branch, as shields.io and drone draw theirs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.store.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLOURS: Mapping[State, str] = {
    State.SUCCESS: "#2da44e",
    State.FAILURE: "#cf222e",
    State.ERROR: "#cf222e",
    State.KILLED: "#6e7781",
    State.DECLINED: "#6e7781",
    State.RUNNING: "#bf8700",
    State.PENDING: "#bf8700",
}
_WIDTH = 7  # pixels that a letter takes at most
_PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{all}" height="20" role="img" aria-label="build: {word}">'
    "<title>build: {word}</title>"
    '<clipPath id="r"><rect width="{all}" height="20" rx="3"/></clipPath>'
    '<g clip-path="url(#r)"><rect width="40" height="20" fill="#424a53"/>'
    '<rect x="40" width="{right}" height="20" fill="{colour}"/></g>'
    '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
    '<text x="20" y="14">build</text><text x="{middle}" y="14">{word}</text></g></svg>'
)


def svg(state: State | None) -> str:
    """The picture; None: there is no build."""
    word = state.value if state is not None else "none"
    right = len(word) * _WIDTH + 10
    colour = _COLOURS.get(state, "#6e7781") if state is not None else "#6e7781"
    return _PICTURE.format(all=40 + right, right=right, middle=40 + right / 2, colour=colour, word=word)
