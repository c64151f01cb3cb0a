"""Nodes → texts, lists, words, flags: what all dialects have in common. The larger parts are in `parts`.

A `Reader` turns a value into what it must be and reports what has another shape, with the place. It never stops: what
could not be read is left out, and the next key is read. Meaning is not checked here but in `lint`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline.edits import Edit
from ci.pipeline.nodes import Kind, Mapping, Scalar, Sequence, describe
from ci.pipeline.source import Text
from ci.pipeline.values import FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping as Map

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.nodes import Entry, Node
    from ci.pipeline.rules import Rules
    from ci.pipeline.source import Position


class Keys:
    """The entries of one map of the file: `what` names it in messages (`step "build"`)."""

    __slots__ = ("entries", "position", "what")

    def __init__(self, entries: Map[str, Entry], what: str, position: Position) -> None:
        self.entries = entries
        self.what = what
        self.position = position

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def position_of(self, key: str) -> Position:
        """Where the key is written; without it, where the map begins."""
        return self.entries[key].key.position if key in self.entries else self.position


class Reader:
    """Reads the parts of a document into one report, by the rules of its dialect."""

    def __init__(self, report: Report, rules: Rules) -> None:
        self.report = report
        self.rules = rules

    # Maps and their keys

    def keys(self, node: Node, what: str, known: Iterable[str], synonyms: Map[str, str] | None = None) -> Keys | None:
        """A map with known keys; the others are reported and left out. None: it is no map.

        A lenient dialect passes over what it does not know, and what begins with `x-`, `.` or `_` without a word.
        """
        if not isinstance(node, Mapping):
            self.wrong(node, what, "a map of keys and values")
            return None
        known = tuple(known)
        entries: dict[str, Entry] = {}
        unknown: list[Entry] = []
        for entry in node.entries:
            key = entry.key.value
            if key in known:
                entries[key] = entry
            else:
                unknown.append(entry)
        for entry in unknown:
            if self.report.full:
                break
            key = entry.key.value
            meant = self.report.suggester.sure(key, known)
            fix = Edit(entry.key.position, meant) if meant and meant not in entries else None
            self._unknown(entry, what, self.report.suggester.did_you_mean(key, known, synonyms), fix)
        return Keys(entries, what, node.position)

    def _unknown(self, entry: Entry, what: str, hint: str, fix: Edit | None) -> None:
        key = entry.key.value
        if not self.rules.lenient:
            self.report.error("unknown-key", entry.key.position, f'unknown key "{key}" in {what}', hint, fix)
        elif not key.startswith(("x-", ".", "_")):
            message = f'{self.rules.dialect} has no key "{key}" in {what}, and passes it over'
            self.report.warning("unknown-key", entry.key.position, message, hint, fix)

    def get(self, keys: Keys, key: str) -> Node | None:
        """The value of a key; None where it is not there, or is nothing, which is reported."""
        entry = keys.entries.get(key)
        if entry is None:
            return None
        if isinstance(entry.value, Scalar) and entry.value.kind is Kind.NULL:
            if not self.rules.lenient:
                self.report.error(
                    "empty-value", entry.key.position, f'"{key}" has no value', "give it one, or remove the key"
                )
            return None
        return entry.value

    def wrong(self, node: Node, what: str, expected: str, hint: str = "", fix: Edit | None = None) -> None:
        """Report a value of the wrong type."""
        position = node.position
        self.report.error("wrong-type", position, f"{what} must be {expected}, not {describe(node)}", hint, fix)

    # Single values

    def text(self, keys: Keys, key: str) -> Text | None:
        """A single value, as it was written."""
        node = self.get(keys, key)
        if node is None:
            return None
        if isinstance(node, Scalar):
            return node.text
        self.wrong(node, f'"{key}"', "a string")
        return None

    def flag(self, keys: Keys, key: str) -> Position | None:
        """Where `true` is written; None for `false` and where the key is not there."""
        node = self.get(keys, key)
        if node is None:
            return None
        if isinstance(node, Scalar) and node.kind is Kind.BOOLEAN:
            return node.position if node.value.lower() == "true" else None
        if self.rules.lenient and isinstance(node, Scalar) and node.value.lower() in FLAGS:
            return node.position if FLAGS[node.value.lower()] else None
        hint = ""
        if isinstance(node, Scalar):
            hint = {"yes": "write true", "on": "write true", "no": "write false", "off": "write false"}.get(
                node.value.lower(), ""
            )
        fix = Edit(node.position, hint.removeprefix("write ")) if hint else None
        self.wrong(node, f'"{key}"', "true or false", hint, fix)
        return None

    def switch(self, keys: Keys, key: str) -> Text | None:
        """`true`, or what a variable is going to say; None for `false` and where the key is not there."""
        entry = keys.entries.get(key)
        if entry and isinstance(entry.value, Scalar) and "${" in entry.value.value:
            return entry.value.text
        position = self.flag(keys, key)
        return Text("true", position) if position else None

    def word(self, keys: Keys, key: str, words: Iterable[str]) -> Text | None:
        """One of a few words, or what a variable is going to say.

        A lenient dialect takes them in capitals, too, and passes over others.
        """
        text = self.text(keys, key)
        if text is None:
            return None
        words = tuple(words)
        if text.value in words or "${" in text.value:
            return text
        if self.rules.lenient and text.value.lower() in words:
            return text._replace(value=text.value.lower())
        hint = self.report.suggester.did_you_mean(text.value, words) or f"one of: {', '.join(words)}"
        meant = self.report.suggester.sure(text.value, words)
        fix = Edit(text.position, meant) if meant else None
        if self.rules.lenient:
            message = f'{self.rules.dialect} knows no "{key}" that is "{text.value}", and does as without it'
            self.report.warning("bad-value", text.position, message, hint, fix)
            return None
        self.report.error("bad-value", text.position, f'"{key}" cannot be "{text.value}"', hint, fix)
        return None

    # Lists

    def texts(self, keys: Keys, key: str, item_hint: str = "") -> tuple[Text, ...]:
        """One string, or a list of strings."""
        node = self.get(keys, key)
        return () if node is None else self.items(node, f'"{key}"', item_hint)

    def items(self, node: Node, what: str, item_hint: str = "") -> tuple[Text, ...]:
        """One string, or a list of strings, as a tuple."""
        if isinstance(node, Scalar):
            return (node.text,)
        if not isinstance(node, Sequence):
            self.wrong(node, what, "a string or a list of strings")
            return ()
        result: list[Text] = []
        for item in node.items:
            if not isinstance(item, Scalar):
                self.wrong(item, f"each item of {what}", "a string", item_hint)
            elif item.kind is Kind.NULL:
                self.report.error(
                    "empty-value", item.position, f"an item of {what} is empty", "remove it, or write a value"
                )
            else:
                result.append(item.text)
        return tuple(result)
