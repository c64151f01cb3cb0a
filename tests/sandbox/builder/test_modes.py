"""`--chmod`."""

from __future__ import annotations

import pytest

from sandbox.builder.modes import change_mode
from sandbox.errors import InvalidError


@pytest.mark.parametrize(
    ("text", "mode", "directory", "expected"),
    [
        ("0755", 0o600, False, 0o755),
        ("4711", 0o600, False, 0o4711),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("+x", 0o644, False, 0o755),
        ("a-w", 0o666, False, 0o444),
        ("g=u", 0o640, False, 0o660),
        ("u+s,g+s", 0o755, False, 0o6755),
        ("+t", 0o777, True, 0o1777),
        ("u+r-w", 0o200, False, 0o400),
        ("o=", 0o777, False, 0o770),
    ],
)
def test_modes(text: str, mode: int, directory: bool, expected: int) -> None:
    """Octal sets all; symbols change what is there."""
    assert change_mode(text, mode, directory=directory) == expected


@pytest.mark.parametrize("text", ["99", "rwx", "u", "z+x", "17777", "u+y", ""])
def test_what_is_no_mode(text: str) -> None:
    """It is refused with the text."""
    with pytest.raises(InvalidError, match="invalid mode"):
        change_mode(text, 0o644, directory=False)
