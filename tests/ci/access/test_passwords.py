"""Passwords of local accounts."""

from __future__ import annotations

import pytest

from ci.access import passwords
from ci.errors import CiError


def test_only_the_password_fits() -> None:
    """Its text is not in what is kept, and two that are the same are kept differently."""
    kept = passwords.keep("correct horse")
    assert passwords.check("correct horse", kept)
    assert not passwords.check("correct horse ", kept)
    assert "horse" not in kept
    assert passwords.keep("correct horse") != kept


@pytest.mark.parametrize("kept", ["", "scrypt", "md5$1$2$3$4$5", "scrypt$15$8$3$!!$!!"])
def test_an_account_without_a_password(kept: str) -> None:
    """Nothing fits, the empty text neither; it is no error."""
    assert not passwords.check("", kept)
    assert not passwords.check("anything", kept)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
def test_a_password_of_a_bad_length(password: str) -> None:
    """A line that says which lengths there are."""
    with pytest.raises(CiError, match="8 to 1024 characters"):
        passwords.keep(password)
