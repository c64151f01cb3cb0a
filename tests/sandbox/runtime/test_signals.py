"""Names and numbers of signals."""

from __future__ import annotations

import pytest

from sandbox.errors import InvalidError
from sandbox.runtime.signals import signal_number


@pytest.mark.parametrize(
    ("name", "number"),
    [("TERM", 15), ("SIGTERM", 15), ("9", 9), (2, 2), ("usr1", 10), ("RTMIN+3", 37), ("SIGRTMAX-1", 63)],
)
def test_signal_names(name: str | int, number: int) -> None:
    """Numbers and names with and without SIG."""
    assert signal_number(name) == number


@pytest.mark.parametrize("name", ["", "NONE", "0", "99", "SIG", "-1", "RTMIN+40", "RTMIN-1", "RTMAX-40"])
def test_signals_that_are_none(name: str) -> None:
    """Refused with the name."""
    with pytest.raises(InvalidError, match="no signal"):
        signal_number(name)
