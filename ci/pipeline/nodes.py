"""YAML as plain nodes with positions: what `yaml` makes of a text, and what the dialects read.

A scalar keeps the text that was written: `1.10` stays `1.10` and `0755` stays `0755`, whatever number they are; `kind`
tells what YAML 1.2 would take it for. Merge keys and aliases are resolved; a node that an alias names is shared, not
copied. Named tuples, because there are many (see `source`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from ci.pipeline.source import Text

if TYPE_CHECKING:
    from ci.pipeline.source import Position


class Kind(StrEnum):
    """What a scalar is in YAML 1.2's core schema; the value is the word for messages."""

    TEXT = "a string"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    NULL = "nothing"


class Scalar(NamedTuple):
    """A single value."""

    value: str
    kind: Kind
    position: Position

    @property
    def text(self) -> Text:
        """What was written, with its place."""
        return Text(self.value, self.position)


class Sequence(NamedTuple):
    """A list. `position` is that of its first character."""

    items: tuple[Node, ...]
    position: Position


class Entry(NamedTuple):
    """A key and its value."""

    key: Scalar
    value: Node


class Mapping(NamedTuple):
    """A map, each key once, in the file's order; merged keys come last.

    `position` is that of its first key, or of its `{`.
    """

    entries: tuple[Entry, ...]
    position: Position


Node = Scalar | Sequence | Mapping


def describe(node: Node) -> str:
    """The kind of a node, for messages."""
    if isinstance(node, Scalar):
        return node.kind.value
    return "a list" if isinstance(node, Sequence) else "a map"
