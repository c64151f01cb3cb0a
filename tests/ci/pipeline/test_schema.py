"""The JSON Schemas: they take what the dialects take, and refuse what can be seen to be wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ci.pipeline.diagnostics import Report
from ci.pipeline.nodes import Kind, Mapping, Node, Scalar
from ci.pipeline.schema import DIALECTS, schema
from ci.pipeline.source import read
from ci.pipeline.yaml import parse

HERE = Path(__file__).parent
GOLDEN, CORPUS, EXAMPLES = HERE / "golden", HERE / "corpus", HERE.parents[2] / "examples"


def plain(node: Node) -> Any:
    """A node as JSON has it."""
    if isinstance(node, Scalar):
        values = {Kind.NULL: None, Kind.BOOLEAN: node.value == "true", Kind.NUMBER: 1}
        return values.get(node.kind, node.value)
    if isinstance(node, Mapping):
        return {entry.key.value: plain(entry.value) for entry in node.entries}
    return [plain(item) for item in node.items]


def documents(text: str) -> list[Any]:
    """The documents of a file as JSON has them."""
    source = read(text, "x.yml")
    return [plain(node) for node in parse(source, Report(source), expressions=True)]


def fits(value: Any, rule: dict[str, Any], root: dict[str, Any]) -> bool:  # noqa: PLR0911  (one for each keyword)
    """Whether a value is what a schema says: the part of draft 2020-12 that ours use."""
    if "$ref" in rule:
        return fits(value, root["$defs"][rule["$ref"].removeprefix("#/$defs/")], root)
    if "anyOf" in rule and not any(fits(value, one, root) for one in rule["anyOf"]):
        return False
    if "enum" in rule and value not in rule["enum"]:
        return False
    types = rule.get("type", [])
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "number": int, "null": type(None)}
    if types and type(value) not in [kinds[name] for name in ([types] if isinstance(types, str) else types)]:
        return False
    if isinstance(value, str):
        return re.search(rule.get("pattern", ""), value) is not None
    if isinstance(value, list):
        return all(fits(item, rule.get("items", {}), root) for item in value)
    if not isinstance(value, dict):
        return True
    for key, part in value.items():
        others = [one for name, one in rule.get("patternProperties", {}).items() if re.search(name, key)]
        other = others[0] if others else rule.get("additionalProperties", {})
        inner = rule.get("properties", {}).get(key, other)
        if inner is False or not fits(part, inner, root):
            return False
    return all(key in value for key in rule.get("required", []))


@pytest.mark.parametrize("path", sorted(GOLDEN.rglob("*.yml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_what_is_right_fits(path: Path) -> None:
    """Every golden file fits the schema of its dialect."""
    made = schema(path.parent.name)
    assert [one for one in documents(path.read_text()) if not fits(one, made, made)] == []


WHOLE = [
    *(("hako", path) for path in sorted(EXAMPLES.rglob(".ci.yml"))),
    *((path.parent.name, path) for path in sorted(CORPUS.rglob("*.y*ml"))),
]


@pytest.mark.parametrize(("dialect", "path"), WHOLE, ids=[f"{path.parent.name}/{path.stem}" for _, path in WHOLE])
def test_whole_files_fit(dialect: str, path: Path) -> None:
    """The examples, and files as people write them for drone and Woodpecker."""
    made = schema(dialect)
    assert [one for one in documents(path.read_text()) if not fits(one, made, made)] == []


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("hako", "stepz: []"),
        ("hako", "steps: [{name: a, image: b, comands: [x]}]"),
        ("hako", "steps: [{name: a, image: b, privileged: 'yes'}]"),
        ("hako", "steps: [{name: a, image: b, when: {event: pushed}}]"),
        ("hako", "steps: [{name: a, image: b, failure: never}]"),
        ("hako", "image: b"),
        ("drone", "steps: []"),
        ("drone", "{kind: pipeline, type: exec}"),
        ("drone", "{kind: pipeline, trigger: {event: deployment}}"),
        ("woodpecker", "steps: [{pull: always}]"),
        ("woodpecker", "when: {event: custom}"),
    ],
)
def test_what_is_wrong_does_not(dialect: str, text: str) -> None:
    """Misspelt keys of ours, and values of the wrong shape, do not fit."""
    made = schema(dialect)
    (document,) = documents(text)
    assert not fits(document, made, made)


def test_they_are_json() -> None:
    """Each can be written, and says which version of JSON Schema it is."""
    for name in DIALECTS:
        assert json.loads(json.dumps(schema(name)))["$schema"].endswith("2020-12/schema")
