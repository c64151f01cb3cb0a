"""`--detach-keys`."""

from __future__ import annotations

import pytest

from sandbox.cli.keys import parse
from sandbox.cli.options import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", b""),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("ctrl-@", b"\0"),
        ("ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x1b\x1c\x1d\x1e\x1f"),
        ("ctrl-A", b"\x01"),
        ("x,y", b"xy"),
    ],
)
def test_keys(text: str, expected: bytes) -> None:
    """Docker's names."""
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ab", "ctrl-p,,x", "é", "ctrl-ctrl-p"])
def test_what_is_no_key(text: str) -> None:
    """The line names it."""
    with pytest.raises(UsageError, match="--detach-keys"):
        parse(text)
