"""Encryption of what the server keeps."""

from __future__ import annotations

import stat
import threading
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from ci.errors import CiError
from ci.secrets.keyring import Keyring, load, rotate

if TYPE_CHECKING:
    from pathlib import Path


def test_the_file_of_keys_is_made_once(tmp_path: Path) -> None:
    """By whoever comes first of several; nobody else can read it."""
    path = tmp_path / "keys"
    rings: list[Keyring] = []
    threads = [threading.Thread(target=lambda: rings.append(load(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    token = rings[0].encrypt("value", "here")
    assert {ring.decrypt(token, "here") for ring in rings} == {"value"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"]


def test_keys_are_rotated(tmp_path: Path) -> None:
    """The new key encrypts, the former still decrypts; what is renewed does without the former."""
    path = tmp_path / "keys"
    before = load(path).encrypt("value", "here")
    rotate(path)
    ring = load(path)
    assert ring.decrypt(before, "here") == "value"
    renewed = ring.renew(before)
    path.write_text(path.read_text().splitlines()[0])
    assert load(path).decrypt(renewed, "here") == "value"
    with pytest.raises(CiError, match="cannot be decrypted"):
        load(path).decrypt(before, "here")


def test_a_secret_stays_where_it_belongs() -> None:
    """Copied to another place it cannot be read there."""
    ring = Keyring([Fernet.generate_key().decode()])
    with pytest.raises(CiError, match="was made for here") as caught:
        ring.decrypt(ring.encrypt("value", "here"), "there")
    assert "value" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [
        ("", 0o600, "no key"),
        ("x", 0o600, "is no key"),
        (None, 0o640, "can be read by others"),
        ("ä", 0o600, "is no key"),
    ],
)
def test_what_is_no_file_of_keys(tmp_path: Path, content: str | None, mode: int, complaint: str) -> None:
    """A line says what is wrong with it."""
    path = tmp_path / "keys"
    path.write_text(Fernet.generate_key().decode() if content is None else content)
    path.chmod(mode)
    with pytest.raises(CiError, match=complaint):
        load(path)


@given(st.text(), st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_comes_back(text: str, context: str) -> None:
    """Also one with null characters and broken surrogates."""
    ring = Keyring([Fernet.generate_key().decode()])
    try:
        token = ring.encrypt(text, context)
    except UnicodeEncodeError:  # halves of pairs that stand for no byte
        return
    assert ring.decrypt(token, context) == text
