"""The body of a webhook: JSON that a stranger may have written, asked by path.

What has another type than it should counts as not being there.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from ci.errors import CiError

LIMIT = 25 << 20  # bytes; GitHub sends no more
_LARGEST_NUMBER = 1 << 62


def parse(data: bytes, where: str) -> Body:
    """The body; `where` begins the messages. Raises CiError for what is too large or no JSON."""
    if len(data) > LIMIT:
        raise CiError(f"{where}: larger than {LIMIT >> 20} MiB", reference="bad-payload")
    try:
        return Body(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise CiError(f"{where}: no JSON: {error}", reference="bad-payload") from None


class Body:
    """A JSON value."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def at(self, *path: str) -> Any:
        """What is there, or None."""
        value = self._value
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def has(self, *path: str) -> bool:
        """Whether there is an object."""
        return isinstance(self.at(*path), dict)

    def text(self, *path: str) -> str:
        """A string, without what neither UTF-8 nor a database can hold: half a surrogate pair, the character 0."""
        value = self.at(*path)
        return value.replace("\0", "").encode("utf-8", "replace").decode() if isinstance(value, str) else ""

    def number(self, *path: str) -> int:
        """A positive number, or 0."""
        value = self.at(*path)
        return value if isinstance(value, int) and 0 < value < _LARGEST_NUMBER else 0

    def time(self, *path: str) -> int:
        """Seconds since 1970 of a time in ISO 8601, or 0."""
        try:
            return max(0, int(datetime.fromisoformat(self.text(*path)).timestamp()))
        except (ValueError, OverflowError):
            return 0

    def parts(self, *path: str) -> list[Body]:
        """The elements of a list."""
        value = self.at(*path)
        return [Body(item) for item in value] if isinstance(value, list) else []
