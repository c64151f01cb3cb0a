"""The JSON form of arguments: `["executable", "argument"]`.

Text that begins with a bracket but is no JSON is taken in the shell form, as BuildKit does; only an array with
something else than strings in it is a mistake, because nobody can have meant it as a command.
"""

from __future__ import annotations

import json

from sandbox.dockerfile.diagnostics import Mistake


def json_words(text: str) -> tuple[str, ...] | None:
    """The strings of a JSON array; None for any other text, an array of other things too."""
    if not text.lstrip().startswith("["):
        return None
    try:
        values = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return tuple(values) if isinstance(values, list) and all(isinstance(one, str) for one in values) else None


def require_strings(text: str, start: int) -> None:
    """Refuse a JSON array of anything but strings; `start` is the text's offset in its line."""
    if not text.lstrip().startswith("[") or json_words(text) is not None:
        return
    try:
        values = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return
    if isinstance(values, list):
        raise Mistake(
            "json-strings",
            "an array of arguments holds strings only",
            hint='put each in quotes: ["a", "1"]',
            start=start,
        )


def _refuse(name: str) -> object:
    raise ValueError(name)
