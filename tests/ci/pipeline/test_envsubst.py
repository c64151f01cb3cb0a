"""Substitution as drone and Woodpecker have it: every operator, the escapes, and what is no expression."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ci.pipeline.envsubst import expand, hide, parameters, reveal
from ci.pipeline.substitution import SubstitutionError
from tests.processor_time import at_most

VALUES = {"v": "hello World", "path": "a/b/c.tar.gz", "empty": "", "sha": "0123456789abcdef", "up": "ÄB"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${v}", "hello World"),
        ("a${v}b${sha}", "ahello Worldb0123456789abcdef"),
        ("${nothing}", ""),
        ("${v^}", "Hello World"),
        ("${v^^}", "HELLO WORLD"),
        ("${up,}", "äB"),
        ("${v,,}", "hello world"),
        ("${sha:0:8}", "01234567"),
        ("${sha:8}", "89abcdef"),
        ("${sha:14:9}", "ef"),
        ("${sha: -4}", "cdef"),
        ("${sha:99}", ""),
        ("${#v}", "11"),
        ("${#nothing}", "0"),
        ("${path#*/}", "b/c.tar.gz"),
        ("${path##*/}", "c.tar.gz"),
        ("${path%.*}", "a/b/c.tar"),
        ("${path%%.*}", "a/b/c"),
        ("${path#x}", "a/b/c.tar.gz"),
        ("${v#[a-h]?}", "llo World"),
        ("${v##[!x]*o}", "rld"),
        ("${path/a/z}", "z/b/c.tar.gz"),
        ("${path//\\//-}", "a-b-c.tar.gz"),
        ("${v//o}", "hell Wrld"),
        ("${path/#a/z}", "z/b/c.tar.gz"),
        ("${path/#b/z}", "a/b/c.tar.gz"),
        ("${path/%gz/xz}", "a/b/c.tar.xz"),
        ("${empty=d}", "d"),
        ("${empty:=d}", "d"),
        ("${nothing:-d e}", "d e"),
        ("${v:-d}", "hello World"),
        ("${nothing-d}", "d"),
        ("${nothing:-${v:0:5}}!", "hello!"),
        ("${nothing:-a\\}b}", "a}b"),
        ("$$", "$"),
        ("$${v}", "${v}"),
        ("$$$${v}", "$${v}"),
        ("$$${v}", "$hello World"),
        ("$v and $5 and ${v}", "$v and $5 and hello World"),
        ("plain", "plain"),
        ("", ""),
        ("$", "$"),
    ],
)
def test_expressions(text: str, expected: str) -> None:
    """Each form has the value it has in those systems."""
    assert expand(text, VALUES.get) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${v", 'no "}"'),
        ("x ${}", "does not name"),
        ("${1}", "does not name"),
        ("${v[0]}", "operator that is not known"),
        ("${v@Q}", "operator that is not known"),
        ("${v:x}", "given by numbers"),
        ("${a:-${b:-${c:-${d:-${e:-${f:-${g:-${h:-${i}}}}}}}}}", "nested"),
    ],
)
def test_what_is_no_expression(text: str, message: str) -> None:
    """It is said what is wrong, and where it is."""
    with pytest.raises(SubstitutionError, match=message) as error:
        expand(text, VALUES.get)
    assert text[error.value.start :].startswith("${")


def test_parameters() -> None:
    """All variables that are named, those of words too; some stand for something without a value."""
    found = parameters("${a} ${b:-${c}} $${d}")
    assert [(one.name, one.has_default) for one in found] == [("a", False), ("b", True), ("c", False)]


def test_hostile_patterns_are_quick() -> None:
    """A pattern of many stars costs no more than its length."""
    with at_most(1):
        expand("${v##" + "*a" * 400 + "b}", {"v": "a" * 60_000}.get)


@given(
    st.text(alphabet="ab/.*", max_size=12),
    st.text(alphabet="ab/.?*", max_size=6),
    st.sampled_from(["#", "##", "%", "%%"]),
)
@example("*a", "?", "#")
def test_patterns_are_those_of_the_shell(value: str, pattern: str, operator: str) -> None:
    """What is cut off is what bash cuts off."""
    quoted = pattern.replace("/", "\\/")
    ours = expand(f"${{v{operator}{quoted}}}", {"v": value}.get)
    assert ours == _bash(value, operator, pattern)


def _bash(value: str, operator: str, pattern: str) -> str:
    script = f'v=$1; p=$2; printf %s "${{v{operator}$p}}"'
    return subprocess.run(
        ["/bin/bash", "-c", script, "bash", value, pattern], check=True, capture_output=True, text=True, timeout=10
    ).stdout


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("[echo ${A}]", True),
        ("a: ${B:0:8}", True),
        ("a: ${B\n}", False),
        ("nothing", False),
        ("${A:-${B}}", True),
    ],
)
def test_hiding_keeps_places(text: str, hidden: bool) -> None:
    """What is YAML's inside of an expression is hidden, the length is the same, and it can be undone."""
    assert (hide(text) != text) is hidden
    assert len(hide(text)) == len(text)
    assert reveal(hide(text)) == text
