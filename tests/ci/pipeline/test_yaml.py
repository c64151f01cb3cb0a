"""YAML as nodes with positions, and the files that are none."""

from __future__ import annotations

import itertools

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ci.pipeline.diagnostics import Report
from ci.pipeline.nodes import Kind, Mapping, Node, Scalar, Sequence, describe
from ci.pipeline.source import SourceError, read
from ci.pipeline.yaml import DEPTH_LIMIT, NODE_LIMIT, parse
from tests.processor_time import at_most


def nodes(text: str) -> tuple[Node, ...]:
    """The documents of a text without mistakes."""
    report = Report(read(text, "x"))
    found = parse(report.source, report)
    assert report.diagnostics == ()
    return found


def plain(node: Node) -> object:
    """A node without positions."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {entry.key.value: plain(entry.value) for entry in node.entries}


def problems(text: str) -> list[tuple[str, int, int]]:
    """Codes and places of what is wrong; then there are no documents."""
    report = Report(read(text, "x"))
    found = parse(report.source, report)
    result = [(one.code, one.position.line, one.position.column) for one in report.diagnostics]
    assert result
    assert found == () or {code for code, _, _ in result} == {"duplicate-key"}
    return result


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        *(
            (word, Kind.TEXT)
            for word in ("yes", "no", "on", "off", "y", "N", "abc", "1:30", "2024-01-02", "1_000", "'true'", "'1'")
        ),
        *((word, Kind.BOOLEAN) for word in ("true", "False", "TRUE")),
        *((word, Kind.NULL) for word in ("", "~", "null", "NULL")),
        *(
            (word, Kind.NUMBER)
            for word in ("1", "-1", "1.10", "0755", "0o17", "0xff", "1e3", ".5", "1.", ".inf", ".NaN", "+1")
        ),
        ("!!str 1", Kind.TEXT),
        ("!!str true", Kind.TEXT),
        ("! 1", Kind.TEXT),
    ],
)
def test_scalars_of_yaml_1_2(written: str, kind: Kind) -> None:
    """YAML 1.2's core schema: `on` and `yes` are strings, `0755` is not octal, `1:30` is no number of seconds."""
    (document,) = nodes(f"key: {written}")
    assert isinstance(document, Mapping)
    value = document.entries[0].value
    assert isinstance(value, Scalar)
    assert value.kind is kind
    assert value.value == written.removeprefix("!!str ").removeprefix("! ").strip("'")


def test_on_is_a_key() -> None:
    """`on:` is a key of that name, not `true`."""
    assert plain(nodes("on: 1\nyes: 2")[0]) == {"on": "1", "yes": "2"}


def test_positions() -> None:
    """Every key and value has its line and column, from 1."""
    (document,) = nodes("# a comment\na: b\nlist:\n  - 'c d'\n  - {e: f}\n")
    assert isinstance(document, Mapping)
    assert document.position[:2] == (2, 1)
    (a, listed) = document.entries
    assert (a.key.position[:4], a.value.position[:4]) == ((2, 1, 2, 2), (2, 4, 2, 5))
    assert isinstance(listed.value, Sequence)
    assert listed.value.position[:2] == (4, 3)
    assert [item.position[:2] for item in listed.value.items] == [(4, 5), (5, 5)]
    assert listed.value.items[0].position[:4] == (4, 5, 4, 10)
    assert [describe(node) for node in (document, listed.value, a.value)] == ["a map", "a list", "a string"]


def test_positions_count_characters() -> None:
    """Columns are characters, not bytes; Windows' line breaks do not shift lines."""
    (document,) = nodes("é🐦: x\r\nb: y\r\n")
    assert isinstance(document, Mapping)
    assert [entry.value.position[:4] for entry in document.entries] == [(1, 5, 1, 6), (2, 4, 2, 5)]


def test_aliases_and_merges() -> None:
    """Aliases stand for what they name; merged keys give way to written ones, earlier maps to later ones."""
    text = "base: &a {x: 1, y: 2}\nmore: &b {y: 3, z: 4}\nuse: {<<: [*a, *b], x: 5}\none:\n  <<: *b\nlist: [*a]"
    found = plain(nodes(text)[0])
    assert isinstance(found, dict)
    assert found["use"] == {"x": "5", "y": "2", "z": "4"}
    assert found["one"] == {"y": "3", "z": "4"}
    assert found["list"] == [{"x": "1", "y": "2"}]
    assert plain(nodes("'<<': 1")[0]) == {"<<": "1"}


def test_anchors_end_with_their_document() -> None:
    """Documents are apart; empty ones are not there."""
    assert [plain(node) for node in nodes("---\na: 1\n---\n---\n# nothing\n---\nb: 2\n")] == [{"a": "1"}, {"b": "2"}]
    assert problems("a: &x 1\n---\nb: *x") == [("undefined-alias", 2 + 1, 4)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", [("duplicate-key", 3, 1)]),
        ("a: *b", [("undefined-alias", 1, 4)]),
        ("a: &a [1, *a]", [("recursive-alias", 1, 11)]),
        ("a: !!python/object:os.system x\nb: !c [d]", [("unknown-tag", 1, 4), ("unknown-tag", 2, 4)]),
        ("? [a]\n: b", [("bad-key", 1, 3)]),
        ("image: {{ name }}", [("bad-key", 1, 9)]),
        ("a:\n  <<: [1]", [("bad-merge", 2, 7)]),
        ("a: {<<: &x {b: 1}, <<: *x}", [("duplicate-key", 1, 20)]),
        ('a: "\\0"', [("bad-character", 1, 4)]),
        ("a:\n\tb: c", [("yaml-syntax", 2, 1)]),
        ("a: [b", [("yaml-syntax", 1, 4)]),
        ('x: 1\na: "b\n\n', [("yaml-syntax", 2, 4)]),
        ("a: b: c", [("yaml-syntax", 1, 5)]),
        ("a: @b", [("yaml-syntax", 1, 4)]),
        ("a:\n  b\n  c: d", [("yaml-syntax", 3, 4)]),
        ("- a: b\n  c\n  d: e", [("yaml-syntax", 2, 3)]),
        ("[" * 100_000, [("too-deep", 1, DEPTH_LIMIT + 1)]),
        ("{a: " * 30_000, [("too-deep", 1, DEPTH_LIMIT * 4 + 1)]),
        ("- a\n" * NODE_LIMIT, [("too-large", NODE_LIMIT, 3)]),
        ("---\n- a\n" * (NODE_LIMIT // 2 + 1), [("too-large", NODE_LIMIT + 2, 3)]),
    ],
)
def test_mistakes(text: str, expected: list[tuple[str, int, int]]) -> None:
    """Each is found at its place, in a second or so."""
    with at_most(5):
        found = problems(text)
    assert found == expected


def test_bombs() -> None:
    """An alias bomb, of lists or of merges, is counted and not expanded."""
    names = "abcdefghi"
    lists = "a: &a [" + ",".join("x" * 9) + "]\n"
    lists += "".join(f"{c}: &{c} [{','.join([f'*{p}'] * 9)}]\n" for p, c in itertools.pairwise(names))
    merges = "a: &a {x: 1, y: 2}\n"
    merges += "".join(f"{c}: &{c} {{<<: [{','.join([f'*{p}'] * 50)}]}}\n" for p, c in itertools.pairwise(names))
    for bomb in (lists, merges):
        with at_most(1):
            assert [code for code, _, _ in problems(bomb)] == ["too-large"]


def test_without_the_c_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML's own loader, where libyaml is missing, gives the same nodes."""
    text = "a: &x [1, 'b', true, ~]\nc: |\n  d\n  e\nf: {<<: {g: h}, i: *x}\n"
    expected = nodes(text)
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert [plain(node) for node in nodes(text)] == [plain(node) for node in expected]
    (document, other) = (*nodes(text), *expected)
    assert isinstance(document, Mapping)
    assert isinstance(other, Mapping)
    assert [entry.key for entry in document.entries] == [entry.key for entry in other.entries]
    assert problems("a: b: c") == [("yaml-syntax", 1, 5)]


trees = st.recursive(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Zl", "Zp"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=1, max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), trees, min_size=1), st.booleans())
def test_what_is_written_is_read(tree: dict[str, object], flow: bool) -> None:
    """A tree of strings, written as YAML in either style, comes back."""
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    try:
        source = read(text, "x")
    except SourceError:
        return
    report = Report(source)
    (document,) = parse(source, report)
    assert plain(document) == tree


@given(st.text("ab: -[]{},#&*!|>'\"%@`\n\t?<~", max_size=60))
def test_any_text_is_parsed_or_reported(text: str) -> None:
    """No text of YAML's own characters raises."""
    report = Report(read(text, "x"))
    parse(report.source, report)
    for one in report.diagnostics:
        assert one.position.line >= 1
        assert one.position.column >= 1
