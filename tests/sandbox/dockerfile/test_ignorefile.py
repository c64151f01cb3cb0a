"""`.dockerignore` patterns and wild cards of sources."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.dockerfile.ignorefile import IgnorePatterns, read_ignore_file
from sandbox.dockerfile.wildcard import WildcardError, name_pattern, unescape
from sandbox.errors import InvalidError


@pytest.mark.parametrize(
    ("patterns", "path", "ignored"),
    [
        ("a", "a", True),
        ("a", "a/b", True),
        ("a", "b/a", False),
        ("/a", "a", True),
        ("a/", "a/b", True),
        ("./a/../b", "b", True),
        ("*", "a/b", True),
        ("*.md", "x.md", True),
        ("*.md", "d/x.md", False),
        ("*/x", "d/x", True),
        ("*/x", "d/e/x", False),
        ("**/x", "x", True),
        ("**/x", "d/e/x", True),
        ("**/x", "d/xy", False),
        ("**/*.go", "d/e/x.go", True),
        ("d/**", "d/e/f", True),
        ("d/**", "d", False),
        ("d/**/f", "d/f", True),
        ("d/**/f", "d/a/b/f", True),
        ("**", "anything/at/all", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        (r"\*", "*", True),
        (r"\*", "a", False),
        ("a*b*c*", "axxbxxcxx", True),
        ("a*b*c", "abcabd", False),
        ("*\n!keep", "keep", False),
        ("*\n!keep", "other", True),
        ("d\n!d/keep", "d/keep", False),
        ("d\n!d/keep\nd/keep", "d/keep", True),
        ("*.md\n!README*.md\nREADME-secret.md", "README.md", False),
        ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", True),
        ("# comment\n\n  a  ", "a", True),
        (" # no comment", "# no comment", True),
    ],
)
def test_ignored(patterns: str, path: str, ignored: bool) -> None:
    """The last pattern that fits decides, for a folder and all in it."""
    assert read_ignore_file(patterns).ignores(path) is ignored


@pytest.mark.parametrize("pattern", ["!", "[a", "a\\", "[]a]", "[-a]"])
def test_malformed_patterns(pattern: str) -> None:
    """They are refused with the file's name."""
    with pytest.raises(InvalidError, match=r"\.dockerignore"):
        read_ignore_file(pattern)


def test_a_walk_gives_the_same_answer() -> None:
    """With what was matched above, each path costs each pattern once."""
    patterns = IgnorePatterns(["a", "!a/b", "**/c"])
    _, above = patterns.below("a", None)
    assert [patterns.below(f"a/{name}", above)[0] for name in ("b", "c", "d")] == [False, True, True]
    assert patterns.takes_back


def test_names() -> None:
    """A backslash takes a wild card literally."""
    assert name_pattern(r"a\*[x-z]?").fullmatch("a*y1")
    assert unescape(r"a\*b") == "a*b"
    with pytest.raises(WildcardError):
        name_pattern("[z")


@given(st.text(alphabet="ab*?", max_size=8), st.text(alphabet="ab", max_size=8))
def test_names_fit_as_everywhere(pattern: str, name: str) -> None:
    """Without classes and `**` a pattern means what Python's fnmatch says."""
    if "**" not in pattern:
        assert bool(name_pattern(pattern).fullmatch(name)) == fnmatch.fnmatchcase(name, pattern)


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_pattern_is_read_or_refused(pattern: str, path: str) -> None:
    """No pattern raises anything else."""
    try:
        IgnorePatterns([pattern]).ignores(path)
    except InvalidError:
        return


def test_many_stars_take_no_time() -> None:
    """A pattern with twenty stars against a long name."""
    started = time.monotonic()
    assert not IgnorePatterns(["*a" * 20 + "b"]).ignores("a" * 250)
    assert time.monotonic() - started < 1
