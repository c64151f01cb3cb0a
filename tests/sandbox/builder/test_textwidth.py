"""Cells of a terminal."""

from __future__ import annotations

import pytest

from sandbox.builder.textwidth import cut, width


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("漢字", 4, "漢字"),
        ("漢字", 3, "漢…"),
        ("漢字", 2, "…"),
        ("e\u0301x", 2, "e\u0301x"),
        ("a", 0, ""),
    ],
)
def test_texts_are_cut(text: str, columns: int, expected: str) -> None:
    """To the cells that there are, never in the middle of a character."""
    assert cut(text, columns) == expected
    assert width(expected) <= columns
