"""Tables, ages and sizes as docker prints them."""

from __future__ import annotations

import pytest

from sandbox.cli.table import ago, duration, shortened, size, table

MINUTE, HOUR, DAY = 60, 3600, 86400


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    """Three spaces between columns, none at a line's end."""
    assert table(("A", "LONG"), [("wide", "x"), ("y", "")]) == "A      LONG\nwide   x\ny\n"
    assert table(("A", "B"), []) == "A   B\n"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (59 * MINUTE, "59 minutes"),
        (HOUR, "About an hour"),
        (89 * MINUTE, "About an hour"),
        (91 * MINUTE, "2 hours"),
        (47 * HOUR, "47 hours"),
        (2 * DAY, "2 days"),
        (13 * DAY, "13 days"),
        (15 * DAY, "2 weeks"),
        (61 * DAY, "2 months"),
        (3 * 365 * DAY, "3 years"),
    ],
)
def test_durations(seconds: float, expected: str) -> None:
    """Docker's words (go-units HumanDuration)."""
    assert duration(seconds) == expected


def test_a_clock_that_was_set_back_does_not_matter() -> None:
    """What lies in the future was just now."""
    assert ago(100, 50) == "Less than a second ago"


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (4_260_000, "4.26MB"), (1_982_765, "1.98MB"), (117_400_000, "117MB"),
     (999_900_000, "1GB"), (2_500_000_000, "2.5GB")],
)  # fmt: skip
def test_sizes(count: int, expected: str) -> None:
    """Decimal units and three figures."""
    assert size(count) == expected


def test_long_texts_are_cut() -> None:
    """At most so many characters, with an ellipsis."""
    assert shortened("sleep 100", 20) == "sleep 100"
    assert shortened("a" * 21, 20) == "a" * 19 + "…"
