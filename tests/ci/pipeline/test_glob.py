"""Glob patterns: doublestar's language, in time that is linear in the text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.pipeline.glob import LENGTH_LIMIT, Glob, GlobError
from tests.processor_time import at_most


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("main", ["main"], ["mai", "main2", "Main", ""]),
        ("*", ["main", ""], ["a/b", "/"]),
        ("**", ["main", "a/b/c", ""], []),
        ("release/*", ["release/1", "release/"], ["release", "release/1/2", "xrelease/1"]),
        ("release/**", ["release/1", "release/1/2", "release"], ["releases", "release2/1"]),
        ("**/*.go", ["a.go", "x/a.go", "x/y/a.go", ".go"], ["a.gox", "x/a"]),
        ("src/**/test", ["src/test", "src/a/test", "src/a/b/test"], ["src/atest", "srctest", "src/test/a"]),
        ("a**b", ["ab", "axxb"], ["a/b"]),
        ("v?.?", ["v1.2"], ["v1.10", "v/.1"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "x", "/x"]),
        ("[!a-c]x", ["dx"], ["ax", "/x"]),
        ("[^a]", ["b"], ["a", "/"]),
        ("[]a]", ["]", "a"], ["b"]),
        ("[a\\]]", ["]", "a"], ["\\"]),
        ("{main,release/*}", ["main", "release/1"], ["mai", "release", "main,release/1"]),
        ("v{1,2{,.1}}x", ["v1x", "v2x", "v2.1x"], ["v2.x", "vx"]),
        ("{a,}b", ["ab", "b"], ["aab"]),
        ("{src/**,*.md}", ["src/a/b", "a.md", "src"], ["docs/a.md"]),
        ("a,b}", ["a,b}"], ["a"]),
        ("\\*", ["*"], ["a"]),
        ("\\{a\\}", ["{a}"], ["a"]),
        ("é*", ["élan"], ["elan"]),
        ("", [""], ["a"]),
    ],
)
def test_language(pattern: str, yes: list[str], no: list[str]) -> None:
    """Each form of a pattern, with what it matches and what not."""
    glob = Glob(pattern)
    assert [text for text in yes if not glob.matches(text)] == []
    assert [text for text in no if glob.matches(text)] == []


@pytest.mark.parametrize("pattern", ["[a", "[", "{a", "{a,{b}", "a\\", "[z-a]", "[a\\", "a" * (LENGTH_LIMIT + 1)])
def test_malformed(pattern: str) -> None:
    """What is not closed, or too long, is an error and not a pattern that never matches."""
    with pytest.raises(GlobError):
        Glob(pattern)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("*a" * 120, "a" * 4000 + "b"),
        ("**/" * 80 + "x", "a/" * 2000),
        ("{a,a}" * 48, "a" * 2000),
        ("{" * 120 + "a" + "}" * 120, "a" * 2000),
        ("[" + "a-z" * 80 + "]*" + "?" * 2, "a" * 4000),
    ],
)
def test_hostile_patterns_end(pattern: str, text: str) -> None:
    """Patterns on which a backtracking matcher never ends take less than two seconds here."""
    with at_most(2):
        Glob(pattern).matches(text)


@given(st.text("ab/*?", max_size=12), st.text("ab/", max_size=12))
def test_like_a_regular_expression(pattern: str, text: str) -> None:
    """Without `**` and groups a pattern means what the regular expression of its parts means."""
    pattern = re.sub(r"\*+", "*", pattern)
    expression = pattern.replace("*", "[^/]*").replace("?", "[^/]")
    assert Glob(pattern).matches(text) == bool(re.fullmatch(expression, text))


@given(st.text(max_size=30), st.text(max_size=20))
def test_any_text_is_a_pattern_or_an_error(pattern: str, text: str) -> None:
    """Nothing but GlobError is raised, and the second answer is the first one."""
    try:
        glob = Glob(pattern)
    except GlobError:
        return
    assert glob.matches(text) == glob.matches(text)
