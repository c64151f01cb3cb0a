"""The text of a file, and places in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci.pipeline.source import SIZE_LIMIT, Position, SourceError, Text, invisible, read


def test_lines() -> None:
    """Windows' and old Mac's line breaks count as one; a byte order mark is passed over."""
    source = read(b"\xef\xbb\xbfa\r\nb\rc\n", "x")
    assert source.lines == ("a", "b", "c", "")
    assert source.text == "a\r\nb\rc\n"


@pytest.mark.parametrize(
    ("data", "code", "place"),
    [
        (b"a: \xff", "not-utf8", (1, 4)),
        (b"a\n\xc3\xa9\xe9", "not-utf8", (2, 2)),
        (b"\xff\xfea\0", "not-utf8", (1, 1)),
        (b"a\nb\0c", "bad-character", (2, 2)),
        (b"a\n\x1b[31m", "bad-character", (2, 1)),
        ("a\u2028b", "bad-character", (1, 2)),
        ("a\x85b", "bad-character", (1, 2)),
        ("a\ufeffb", "bad-character", (1, 2)),
        ("a\ud800b", "bad-character", (1, 2)),
        (b"a" * (SIZE_LIMIT + 1), "file-too-large", (1, 1)),
    ],
)
def test_refused(data: bytes | str, code: str, place: tuple[int, int]) -> None:
    """What is no text is refused, with its place."""
    with pytest.raises(SourceError) as error:
        read(data, "x")
    assert (error.value.code, error.value.position[:2]) == (code, place)


def test_unusual_text_is_text() -> None:
    """Any language, emoji, tabs, no-break spaces."""
    text = "a: \t日本語 \u00a0é 🐦 \ue000\n"
    assert read(text.encode(), "x").text == text


def test_invisible_characters() -> None:
    """Characters that reorder or hide text are found (CVE-2021-42574)."""
    found = list(invisible(read("a: b\nc: \u202ed\u200b", "x")))
    assert found == [(Position(2, 4, 2, 5), "\u202e"), (Position(2, 6, 2, 7), "\u200b")]
    assert list(invisible(read("plain", "x"))) == []


def test_part_of_a_text() -> None:
    """A part has its own place where the text is written plainly or in quotes, and else the whole's."""
    assert Text("cache:/c", Position(3, 5, 3, 13)).part(6, 8) == Text("/c", Position(3, 11, 3, 13))
    assert Text("cache:/c", Position(3, 5, 3, 15)).part(6, 8) == Text("/c", Position(3, 12, 3, 14))
    escaped = Position(3, 5, 3, 20)
    assert Text("cache:/c", escaped).part(6, 8) == Text("/c", escaped)


@given(st.binary(max_size=40) | st.text(st.characters(), max_size=40))
def test_any_bytes_are_read_or_refused(data: bytes | str) -> None:
    """Nothing but SourceError is raised, and its place is in the file."""
    try:
        read(data, "x")
    except SourceError as error:
        assert 1 <= error.position.line <= len(error.source.lines)
