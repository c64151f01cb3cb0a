"""A pipeline file, and the templates that it includes, with what can be corrected by itself corrected.

Pure; called by `ci-run lint --fix`. Edits are those that the diagnostics have (`edits`); correcting one mistake can
show another, so everything is read again until nothing is left to do. A change after which there would be more errors
is not made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ci.pipeline.diagnostics import Severity
from ci.pipeline.edits import applied, spaces_for_tabs
from ci.pipeline.loading import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.pipeline.includes import Library
    from ci.pipeline.loading import Loaded

_ROUNDS = 5
_MARK = b"\xef\xbb\xbf"


class Fixed(NamedTuple):
    """The bytes as they are now, what lint says of them, and the bytes of templates that have changed, by path."""

    data: bytes
    loaded: Loaded
    templates: Mapping[str, bytes]


class _Changed:
    """A Library with some of its files changed."""

    def __init__(self, library: Library, changed: Mapping[str, bytes]) -> None:
        self._library = library
        self._changed = changed

    def read(self, path: str, ref: str) -> bytes:
        """As in Library."""
        return self._changed[path] if not ref and path in self._changed else self._library.read(path, ref)


def fixed(data: bytes, filename: str, library: Library | None = None) -> Fixed:
    """The file, corrected; the same bytes where nothing can be."""
    templates: dict[str, bytes] = {}
    loaded = load(data, filename, library)
    for _ in range(_ROUNDS):
        current = _Changed(library, templates) if library else None
        better, changed = _once(data, loaded), _templates(loaded, current)
        if better == data and not changed:
            break
        after = templates | changed
        again = load(better, filename, _Changed(library, after) if library else None)
        if _errors(again) > _errors(loaded):
            break
        data, loaded, templates = better, again, after
    return Fixed(data, loaded, templates)


def _templates(loaded: Loaded, library: Library | None) -> dict[str, bytes]:
    """The templates that can be corrected, by path. One that is included twice is corrected once."""
    found: dict[str, bytes] = {}
    for one in loaded.diagnostics:
        if library is not None and one.fix and one.position.file and one.filename not in found:
            before = library.read(one.filename, "")
            after = _edited(before, loaded, one.position.file)
            if after != before:
                found[one.filename] = after
    return found


def _once(data: bytes, loaded: Loaded) -> bytes:
    """The pipeline file, corrected; what is no text stays as it is."""
    if loaded.source is None:
        return data
    new = _edited(data, loaded, 0)
    if any(one.code == "yaml-syntax" and "tab" in one.message and not one.position.file for one in loaded.diagnostics):
        mark = _MARK if new.startswith(_MARK) else b""
        new = mark + spaces_for_tabs(new.removeprefix(_MARK).decode()).encode()
    return new


def _edited(data: bytes, loaded: Loaded, file: int) -> bytes:
    """One of the files that were read, with its edits made."""
    edits = [one.fix for one in loaded.diagnostics if one.fix and one.position.file == one.fix.position.file == file]
    if not edits:
        return data
    mark = _MARK if data.startswith(_MARK) else b""
    return mark + applied(data.removeprefix(_MARK).decode(), edits).encode()


def _errors(loaded: Loaded) -> int:
    """How much is wrong: what is no YAML at all hides how much more there is, so it counts most."""
    found = [one for one in loaded.diagnostics if one.severity is Severity.ERROR]
    return len(found) + 1_000_000 * any(one.code == "yaml-syntax" for one in found)
