"""Values of any shape → the text of an environment variable, as drone and Woodpecker give settings to their plugins.

A single value is itself; a list of single values is joined by commas; what is deeper is JSON. Both systems do the same,
except that they read numbers first and write them anew, so that `1.10` becomes `1.1`: here it stays what was written.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from ci.pipeline.nodes import Kind, Mapping, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.pipeline.nodes import Node

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", re.ASCII)


def encode(node: Node) -> str:
    """The text. Nothing is an empty one."""
    if isinstance(node, Scalar):
        return _text(node)
    if isinstance(node, Sequence) and all(isinstance(item, Scalar) for item in node.items):
        return ",".join(_text(item) for item in node.items if isinstance(item, Scalar))
    return as_json(node)


def is_nothing(node: Node) -> bool:
    """Whether nothing is written there, so that drone and Woodpecker set no variable."""
    return isinstance(node, Scalar) and node.kind is Kind.NULL


def is_secret(node: Node) -> bool:
    """Whether a value is `{from_secret: name}`."""
    return isinstance(node, Mapping) and any(entry.key.value == "from_secret" for entry in node.entries)


def inner_secrets(node: Node) -> Iterator[Node]:
    """The values of the form `{from_secret: name}` inside of a value."""
    if isinstance(node, Mapping):
        for entry in node.entries:
            yield from (entry.value,) if is_secret(entry.value) else inner_secrets(entry.value)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from (item,) if is_secret(item) else inner_secrets(item)


def scalars(node: Node) -> Iterator[Scalar]:
    """The single values in a value, those of maps and lists too, keys aside."""
    if isinstance(node, Scalar):
        yield node
    else:
        for part in node.items if isinstance(node, Sequence) else (entry.value for entry in node.entries):
            yield from scalars(part)


def _text(scalar: Scalar) -> str:
    if scalar.kind is Kind.NULL:
        return ""
    return scalar.value.lower() if scalar.kind is Kind.BOOLEAN else scalar.value


def as_json(node: Node) -> str:
    """The value in JSON, without blanks."""
    if isinstance(node, Mapping):
        return "{" + ",".join(f"{quoted(entry.key.value)}:{as_json(entry.value)}" for entry in node.entries) + "}"
    if isinstance(node, Sequence):
        return "[" + ",".join(as_json(item) for item in node.items) + "]"
    if node.kind is Kind.NULL:
        return "null"
    if node.kind is Kind.BOOLEAN or (node.kind is Kind.NUMBER and _JSON_NUMBER.fullmatch(node.value)):
        return _text(node)
    return quoted(node.value)


def quoted(text: str) -> str:
    """A string of JSON."""
    return json.dumps(text, ensure_ascii=False)
