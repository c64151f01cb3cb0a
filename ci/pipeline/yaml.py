"""YAML → plain nodes with positions. The adapter of PyYAML: nothing else imports it.

Works on the parser's events, not on PyYAML's own node composer: that one is recursive in C and dies of a deep file, and
forgets where an alias was written. Here nesting is a stack with a limit, and an alias bomb is counted as it would
expand, without expanding it.

YAML 1.2's core schema, over a YAML 1.1 parser: only `true` and `false` are booleans, so that `on:`, `yes` and `no` are
the strings they look like; no octal surprises, no sexagesimal numbers, no dates. Of 1.1, merge keys (`<<`) are kept,
because pipeline files use them. A key that is there twice is an error, and not the last one silently.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from ci.pipeline.envsubst import hide, reveal
from ci.pipeline.nodes import Entry, Kind, Mapping, Node, Scalar, Sequence
from ci.pipeline.source import NOWHERE, Position
from ci.pipeline.syntax import report_syntax

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.source import Source, Text

DEPTH_LIMIT = 50  # a pipeline file needs 6
NODE_LIMIT = 100_000  # as a tree, aliases counted as often as they are used

_NUMBER = re.compile(
    r"[-+]?(?:0o[0-7]+|0x[0-9a-fA-F]+|(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), Kind.NULL),
    **dict.fromkeys(("true", "True", "TRUE", "false", "False", "FALSE"), Kind.BOOLEAN),
}
_TAGS = {
    "tag:yaml.org,2002:str": Kind.TEXT,
    "tag:yaml.org,2002:int": Kind.NUMBER,
    "tag:yaml.org,2002:float": Kind.NUMBER,
    "tag:yaml.org,2002:bool": Kind.BOOLEAN,
    "tag:yaml.org,2002:null": Kind.NULL,
    "!": Kind.TEXT,
}
_COLLECTION_TAGS = ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map", "!")


def parse(source: Source, report: Report, *, expressions: bool = False, file: int = 0) -> tuple[Node, ...]:
    """The documents of a file that hold anything at all.

    With `expressions` a `${…}` is text even where its characters mean something to YAML. Reports what is wrong; after
    an error here there are no documents.
    """
    text = hide(source.text) if expressions else source.text
    builder = _Builder(report, hidden=text is not source.text, file=file)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        events: Iterator[Any] = yaml.parse(text, Loader=loader)
        for event in events:
            if not builder.take(event):
                break
    except yaml.MarkedYAMLError as error:
        report_syntax(error, source, report, file)
        return ()
    except yaml.YAMLError as error:
        report.error("yaml-syntax", Position(1, 1, 1, 1, file), f"the file is not YAML: {error}")
        return ()
    return () if builder.broken else tuple(builder.documents)


class _Frame:
    """A collection that is not finished. A mapping has a key waiting for its value, or none."""

    __slots__ = ("anchor", "entries", "is_mapping", "items", "key", "position", "size")

    def __init__(self, is_mapping: bool, anchor: str | None, position: Position) -> None:
        self.is_mapping = is_mapping
        self.anchor = anchor
        self.position = position
        self.items: list[Node] = []
        self.entries: list[tuple[Node, Node]] = []
        self.key: Node | None = None
        self.size = 1


class _Builder:
    """Builds nodes from events."""

    def __init__(self, report: Report, hidden: bool, file: int) -> None:
        self.report = report
        self.file = file
        self.hidden = hidden
        self.broken = False
        self.documents: list[Node] = []
        self.stack: list[_Frame] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.total = 0  # the size of the documents that are finished

    def take(self, event: Any) -> bool:
        """Use one event; false to end here."""
        match type(event).__name__:
            case "ScalarEvent":
                self._scalar(event)
            case "MappingStartEvent" | "SequenceStartEvent":
                return self._begin(event)
            case "MappingEndEvent" | "SequenceEndEvent":
                self._end()
            case "AliasEvent":
                self._alias(event)
            case "DocumentStartEvent":
                self.anchors.clear()
        return not (self.broken and self.stack and self.total + self.stack[-1].size > NODE_LIMIT)

    def _error(self, code: str, position: Position, message: str, hint: str = "") -> None:
        self.broken = True
        self.report.error(code, position, message, hint)

    def _scalar(self, event: Any) -> None:
        value: str = reveal(event.value) if self.hidden and not event.value.isascii() else event.value
        position = _position(event, self.file)
        if "\0" in value:
            self._error("bad-character", position, "a NUL character cannot be in a value")
        if event.tag is not None:
            kind = _TAGS.get(event.tag)
            if kind is None:
                self._error(
                    "unknown-tag",
                    position,
                    f'the tag "{_tag(event.tag)}" is not known',
                    "tags are not needed here: remove it",
                )
                kind = Kind.TEXT
        elif event.style:  # a quote, "|" or ">"; of a plain one it is empty or None, by the loader
            kind = Kind.TEXT
        else:
            kind = kind_of(value)
        node = Scalar(value, kind, position)
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, 1)
        self._add(node, 1)

    def _begin(self, event: Any) -> bool:
        position = _position(event, self.file)
        position = Position(position.line, position.column, position.line, position.column + 1, self.file)
        if len(self.stack) >= DEPTH_LIMIT:
            self._error("too-deep", position, f"nested more than {DEPTH_LIMIT} deep")
            return False
        if event.tag is not None and event.tag not in _COLLECTION_TAGS:
            self._error(
                "unknown-tag",
                position,
                f'the tag "{_tag(event.tag)}" is not known',
                "tags are not needed here: remove it",
            )
        self.stack.append(_Frame(type(event).__name__ == "MappingStartEvent", event.anchor, position))
        return True

    def _end(self) -> None:
        frame = self.stack.pop()
        if self._splice(frame):
            return
        node: Node = self._mapping(frame) if frame.is_mapping else Sequence(tuple(frame.items), frame.position)
        if frame.anchor is not None:
            self.anchors[frame.anchor] = (node, frame.size)
        self._add(node, frame.size)

    def _splice(self, frame: _Frame) -> bool:
        """`- <<: *name` in a list, where the name is that of a list: its items, in place of this one (Woodpecker)."""
        if not frame.is_mapping or len(frame.entries) != 1 or not self.stack or self.stack[-1].is_mapping:
            return False
        key, value = frame.entries[0]
        if not (isinstance(key, Scalar) and key.value == "<<" and written_plainly(key) and isinstance(value, Sequence)):
            return False
        lists = value.items if value.items and all(isinstance(item, Sequence) for item in value.items) else (value,)
        if any(isinstance(item, Mapping) for one in lists for item in one.items):  # type: ignore[union-attr]
            return False
        self.stack[-1].size += frame.size
        for one in lists:
            self.stack[-1].items += one.items  # type: ignore[union-attr]
        return True

    def _alias(self, event: Any) -> None:
        name: str = event.anchor
        position = _position(event, self.file)
        if any(frame.anchor == name for frame in self.stack):
            self._error("recursive-alias", position, f'the alias "*{name}" is inside of what it stands for')
        elif name not in self.anchors:
            self._error(
                "undefined-alias",
                position,
                f'there is no anchor "&{name}" before this',
                f'quote the value if it is to begin with "*": "*{name}"',
            )
        else:
            self._add(*self.anchors[name], alias=position)
            return
        self._add(Scalar("", Kind.NULL, position), 1)

    def _add(self, node: Node, size: int, alias: Position = NOWHERE) -> None:
        """Put a finished node where it belongs. `size` is that of its tree."""
        if not self.stack:
            self.total += size
            if not (isinstance(node, Scalar) and node.kind is Kind.NULL):
                self.documents.append(node)
            return
        frame = self.stack[-1]
        frame.size += size
        if self.total + frame.size > NODE_LIMIT and not self.broken:
            message = f"the file has more than {NODE_LIMIT} values" + (
                ", counting each alias as often as it is used" if alias.line else ""
            )
            self._error("too-large", alias if alias.line else node.position, message)
        if not frame.is_mapping:
            frame.items.append(node)
        elif frame.key is None:
            frame.key = node
        else:
            frame.entries.append((frame.key, node))
            frame.key = None

    def _mapping(self, frame: _Frame) -> Mapping:
        entries: dict[str, Entry] = {}
        merged: list[Mapping] = []
        merge_key: Scalar | None = None
        for key, value in frame.entries:
            if not isinstance(key, Scalar):
                self._error(
                    "bad-key",
                    key.position,
                    "a key must be a string, not a list or a map",
                    'quote a value that begins with "{" or "["',
                )
            elif key.value == "<<" and key.kind is not Kind.NULL and written_plainly(key):
                if merge_key:
                    self._duplicate(key, merge_key, "write one: `<<: [*first, *second]`")
                merge_key = key
                merged += self._merge(value)
            elif key.value in entries:
                self._duplicate(key, entries[key.value].key)
            else:
                entries[key.value] = Entry(key, value)
        for other in merged:
            for entry in other.entries:
                entries.setdefault(entry.key.value, entry)
        position = frame.position
        if (
            frame.entries
            and isinstance(frame.entries[0][0], Scalar)
            and frame.entries[0][0].position[:2] == position[:2]
        ):
            position = frame.entries[0][0].position
        return Mapping(tuple(entries.values()), position)

    def _merge(self, value: Node) -> list[Mapping]:
        items = value.items if isinstance(value, Sequence) else (value,)
        maps = [item for item in items if isinstance(item, Mapping)]
        if len(maps) != len(items):
            self._error(
                "bad-merge",
                value.position,
                'only maps can be merged with "<<"',
                "write `<<: *name`, where `&name` marks a map",
            )
        return maps

    def _duplicate(self, key: Scalar, first: Scalar, hint: str = "remove one of the two") -> None:
        message = f'the key "{key.value}" is here twice; first in line {first.position.line}'
        self.report.error("duplicate-key", key.position, message, hint)


def written_plainly(key: Scalar | Text) -> bool:
    """Whether the key was written without quotes: then it is as long as its text."""
    return key.position.end_column - key.position.column == len(key.value)


def _position(event: Any, file: int) -> Position:
    start, end = event.start_mark, event.end_mark
    return Position(start.line + 1, start.column + 1, end.line + 1, end.column + 1, file)


def kind_of(value: str) -> Kind:
    """The kind of a scalar without quotes."""
    kind = _WORDS.get(value)
    if kind is None:
        kind = Kind.NUMBER if value[0] in "+-.0123456789" and _NUMBER.fullmatch(value) else Kind.TEXT
    return kind


def _tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
