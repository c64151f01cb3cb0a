"""Shell words: quotes, escapes, and every form of variable that BuildKit has."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.dockerfile.words import EXPANSION_LIMIT, WordError, WordRules

VARIABLES = {"name": "value", "empty": "", "path": "/a/b/c.tar.gz", "two": "one two"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$name-x", "value-x"),
        ("${name}x", "valuex"),
        ("$unset.", "."),
        (r"\$name", "$name"),
        ("'$name'", "$name"),
        ('"$name b"', "value b"),
        (r'"a\"b\c"', r'a"b\c'),
        (r"a\ b", "a b"),
        ("$", "$"),
        ("a$", "a$"),
        ("$-", ""),
        ("${name:-w}", "value"),
        ("${empty:-w}", "w"),
        ("${empty-w}", ""),
        ("${unset-w}", "w"),
        ("${unset:-${name}}", "value"),
        ("${name:+w}", "w"),
        ("${empty:+w}", ""),
        ("${empty+w}", "w"),
        ("${unset+w}", ""),
        ("${name:?e}", "value"),
        ("${empty?e}", ""),
        ("${path#*/}", "a/b/c.tar.gz"),
        ("${path##*/}", "c.tar.gz"),
        ("${path%.*}", "/a/b/c.tar"),
        ("${path%%.*}", "/a/b/c"),
        ("${path%nothing}", "/a/b/c.tar.gz"),
        ("${path#?a}", "/b/c.tar.gz"),
        (r"${path/\//:}", ":a/b/c.tar.gz"),
        (r"${path//\//:}", ":a:b:c.tar.gz"),
        ("${path//[ab]/x}", "/a/b/c.tar.gz"),
        ("${path/b*/x}", "/a/x"),
        ("${name/a*l/-}", "v-ue"),
    ],
)
def test_variables(text: str, expected: str) -> None:
    """Every form gives what BuildKit's lexer gives; brackets in patterns mean nothing."""
    assert WordRules().expand(text, VARIABLES).text == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'open", "single quote"),
        ('"open', "double quote"),
        ("${name", "missing '}'"),
        ("${name:-", "missing '}'"),
        ("${}", "bad substitution"),
        ("${name^^}", "unsupported modifier"),
        ("${name/a}", "missing '/'"),
        ("${unset:?is needed}", "unset: is needed"),
        ("${empty:?}", "empty: is empty"),
        (r"${name#\a}", "invalid escape"),
        ("${a:-" * 60, "nested"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    """What cannot be read is said, not guessed."""
    with pytest.raises(WordError, match=message.replace("(", r"\(")):
        WordRules().expand(text, VARIABLES)


def test_words_are_split_after_variables_are_replaced() -> None:
    """Blanks of a variable separate words, those in quotes or escaped do not."""
    assert WordRules().expand("$two \"$two\" a\\ b '' c", VARIABLES).words == ("one", "two", "one two", "a b", "c")


def test_the_names_of_variables_are_told() -> None:
    """The checks and the cache keys need to know which variables a text uses, and which were missing."""
    found = WordRules().expand("$name ${unset:-x} '$quoted'", VARIABLES)
    assert (set(found.found), set(found.missing)) == ({"name"}, {"unset"})


def test_the_other_escape_character() -> None:
    """With `# escape=`` the backslash is ordinary."""
    assert WordRules(escape="`").expand("C:\\dir `$name", VARIABLES).text == "C:\\dir $name"


def test_expansion_is_limited() -> None:
    """A text that doubles what a variable holds stops at a limit."""
    with pytest.raises(WordError, match="expand to more"):
        WordRules().expand("$a$a", {"a": "x" * (EXPANSION_LIMIT - 1)})


def test_patterns_take_no_exponential_time() -> None:
    """Many stars against a long value: the time grows with the value, not with its power."""
    started = time.monotonic()
    WordRules().expand("${a##" + "*a" * 30 + "*b}${a//" + "a*" * 30 + "b/x}", {"a": "a" * 20000})
    assert time.monotonic() - started < 2


@given(st.text(alphabet=st.characters(exclude_characters="$'\"\\", exclude_categories=["Cs"])))
def test_text_without_special_characters_stays(text: str) -> None:
    """What has neither quote, escape nor dollar is itself."""
    assert WordRules().expand(text).text == text


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No input does anything but give words or a WordError, and single quotes keep everything."""
    try:
        found = WordRules().expand(text, VARIABLES)
    except WordError:
        return
    assert all(found.words)
    quoted = text.replace("'", "")
    assert WordRules().expand(f"'{quoted}'", VARIABLES).text == quoted
