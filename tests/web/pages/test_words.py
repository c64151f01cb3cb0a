"""How values are written on pages."""

from __future__ import annotations

import pytest

from ci.store.records import Stage
from web.pages import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0 s"), (0.44, "0.4 s"), (12.4, "12 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (59.6, "1 min 0 s")],
)
def test_durations(seconds: float, text: str) -> None:
    """In the largest two units."""
    assert words.duration(seconds) == text


def test_times() -> None:
    """What has not begun has none; what runs is counted on by a script."""
    assert words.took(0.0, 0.0) == ""
    assert words.took(1.0, 3.0) == "2.0 s"
    assert words.took(1.5, 0.0) == '<span data-since="1.500">…</span>'
    assert words.moment(0.0) == ""
    assert words.moment(86400.0) == '<time datetime="1970-01-02T00:00:00+00:00">1970-01-02 00:00 UTC</time>'


def test_a_cell_of_a_matrix() -> None:
    """Is told by its values."""
    assert words.stage_title(Stage(number=1, name="test", matrix={"go": "1", "os": "x"})) == "test (go=1, os=x)"
    assert words.stage_title(Stage(number=1, name="test")) == "test"
