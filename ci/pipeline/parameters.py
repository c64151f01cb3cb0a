"""The parameters of a template, put into its steps: nodes → nodes. Called by `includes`.

They are to a template what a matrix's variables are to a document: `${NAME}` in values, and variables of its steps and
services, which the shell of a command finds by itself. A value that is `${NAME}` and nothing else may become a list or
a map. What is no parameter stays as it is, for the event and the matrix.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ci.pipeline.nodes import Entry, Kind, Mapping, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Mapping as Map

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.nodes import Node

    Parameters = Map[str, Node]

_PARAMETER = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def filled(node: Node, parameters: Parameters, report: Report) -> Node:
    """A part of a template with the parameters' values in it. A list in the middle of a text is reported."""
    if isinstance(node, Scalar):
        return _scalar(node, parameters, report)
    if isinstance(node, Sequence):
        return node._replace(items=tuple(filled(item, parameters, report) for item in node.items))
    entries = []
    for entry in node.entries:
        known = {} if entry.key.value == "commands" else parameters
        value = _whole(entry.value, parameters) or filled(entry.value, known, report)
        entries.append(entry._replace(value=value))
    return node._replace(entries=tuple(entries))


def with_variables(node: Node, parameters: Parameters) -> Node:
    """A step that has the parameters in its environment, but for those that it sets itself."""
    plain = {name: value for name, value in parameters.items() if isinstance(value, Scalar)}
    if not isinstance(node, Mapping) or not plain:
        return node
    entries = {entry.key.value: entry for entry in node.entries}
    before = entries["environment"].value if "environment" in entries else Mapping((), node.position)
    environment: Node = before
    if isinstance(before, Sequence):
        own = {item.value.partition("=")[0] for item in before.items if isinstance(item, Scalar)}
        texts = (
            Scalar(f"{name}={value.value}", Kind.TEXT, value.position)
            for name, value in plain.items()
            if name not in own
        )
        environment = before._replace(items=(*texts, *before.items))
    elif isinstance(before, Mapping):
        own = {entry.key.value for entry in before.entries}
        more = (
            Entry(Scalar(name, Kind.TEXT, value.position), value) for name, value in plain.items() if name not in own
        )
        environment = before._replace(entries=(*more, *before.entries))
    key = entries["environment"].key if "environment" in entries else Scalar("environment", Kind.TEXT, node.position)
    entries["environment"] = Entry(key, environment)
    return node._replace(entries=tuple(entries.values()))


def _scalar(scalar: Scalar, parameters: Parameters, report: Report) -> Node:
    if "${" not in scalar.value:
        return scalar
    if (whole := _whole(scalar, parameters)) is not None:
        return whole

    def value(match: re.Match[str]) -> str:
        found = parameters.get(match[1] or "")
        if found is None:
            return match[0]
        if isinstance(found, Scalar):
            return found.value
        message = f'the parameter "{match[1]}" is a list or a map, and cannot be a part of a text'
        report.error("wrong-type", scalar.position, message, "let it be the whole value")
        return ""

    return scalar._replace(value=_PARAMETER.sub(value, scalar.value))


def _whole(node: Node, parameters: Parameters) -> Node | None:
    """The value that a parameter alone stands for."""
    match = _PARAMETER.fullmatch(node.value) if isinstance(node, Scalar) else None
    return parameters.get(match[1]) if match and match[1] else None
