"""A pipeline file with what can be corrected by itself corrected. Pure; called by `ci-run lint --fix`.

Edits are those that the diagnostics have (`edits`); correcting one mistake can show another, so it is read again until
nothing is left to do. A change after which the file would have more errors is not made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ci.pipeline.diagnostics import Severity
from ci.pipeline.edits import applied, spaces_for_tabs
from ci.pipeline.loading import load

if TYPE_CHECKING:
    from ci.pipeline.includes import Library
    from ci.pipeline.loading import Loaded

_ROUNDS = 5
_MARK = b"\xef\xbb\xbf"


class Fixed(NamedTuple):
    """The bytes as they are now, and what lint says of them."""

    data: bytes
    loaded: Loaded


def fixed(data: bytes, filename: str, library: Library | None = None) -> Fixed:
    """The file, corrected; the same bytes where nothing can be."""
    loaded = load(data, filename, library)
    for _ in range(_ROUNDS):
        better = _once(data, loaded)
        if better is None or better == data:
            break
        again = load(better, filename, library)
        if _errors(again) > _errors(loaded):
            break
        data, loaded = better, again
    return Fixed(data, loaded)


def _once(data: bytes, loaded: Loaded) -> bytes | None:
    if loaded.source is None:  # it is no text
        return None
    mark = _MARK if data.startswith(_MARK) else b""
    text = data.removeprefix(_MARK).decode("utf-8")
    edits = [one.fix for one in loaded.diagnostics if one.fix]
    new = applied(text, edits) if edits else text
    if any(one.code == "yaml-syntax" and "tab" in one.message for one in loaded.diagnostics):
        new = spaces_for_tabs(new)
    return mark + new.encode("utf-8")


def _errors(loaded: Loaded) -> int:
    """How much is wrong: what is no YAML at all hides how much more there is, so it counts most."""
    found = [one for one in loaded.diagnostics if one.severity is Severity.ERROR]
    return len(found) + 1_000_000 * any(one.code == "yaml-syntax" for one in found)
