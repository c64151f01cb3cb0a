"""Moments and lengths of time as people write them."""

from __future__ import annotations

import pytest

from sandbox.cli import moments
from sandbox.cli.options import UsageError

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10m", 1_699_999_400_000_000_000),
        ("1h30m", 1_699_994_600_000_000_000),
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000.25", 1_700_000_000_250_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123_456_789),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500_000_000),
    ],
)
def test_moments(text: str, expected: int) -> None:
    """Docker's forms."""
    assert moments.parse(text, "--since", NOW) == expected


@pytest.mark.parametrize("text", ["", "soon", "10", "5x", "1h30"])
def test_what_is_no_length(text: str) -> None:
    """A number needs its unit."""
    with pytest.raises(UsageError, match="length of time"):
        moments.length(text, "--interval")


@pytest.mark.parametrize("text", ["", "yesterday", "2023-13-01", "10mm"])
def test_what_is_no_moment(text: str) -> None:
    """The line names the option and the text."""
    with pytest.raises(UsageError, match="--since"):
        moments.parse(text, "--since", NOW)
