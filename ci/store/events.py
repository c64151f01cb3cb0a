"""Events as JSON. What a later version does not know any more is left out, what it adds has its default."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from ci.pipeline.event import Event, EventKind, Previous


def to_document(event: Event) -> dict[str, Any]:
    """JSON values."""
    found: dict[str, Any] = asdict(event)
    return found


def from_document(document: dict[str, Any]) -> Event:
    """The event of `to_document`'s values."""
    found = _known(Event, document)
    found["kind"] = EventKind(found["kind"])
    found["labels"] = tuple(found.get("labels", ()))
    found["parameters"] = tuple((name, value) for name, value in found.get("parameters", ()))
    if found.get("changed_files") is not None:
        found["changed_files"] = tuple(found["changed_files"])
    if found.get("previous") is not None:
        previous = _known(Previous, found["previous"])
        found["previous"] = Previous(**previous | {"event": from_document(previous["event"])})
    return Event(**found)


def _known(kind: type[Event | Previous], document: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in document.items() if name in names}
