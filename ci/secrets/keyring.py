"""Encryption of what the server keeps: secrets, the keys of webhooks, tokens of forges.

Fernet of the `cryptography` package (AES-128-CBC with HMAC-SHA256). Each text is bound to where it belongs by a context
inside of what is encrypted, so that a row copied to another repository's name cannot be read there. The first key of
the file encrypts, all decrypt: keys are rotated by adding one in front and encrypting everything anew.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ci.errors import CiError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Keyring:
    """The server's keys, the newest first."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Raises CiError for what is no key."""
        if not keys:
            raise CiError("there is no key to encrypt secrets with", reference="no-key")
        try:
            self._newest = Fernet(keys[0])
            self._all = MultiFernet([self._newest, *(Fernet(key) for key in keys[1:])])
        except ValueError:
            raise CiError(
                "a key of the server's secrets is no key", hint="32 bytes in URL-safe base64", reference="bad-key"
            ) from None

    def encrypt(self, text: str, context: str) -> str:
        """For the database; `context` says whose it is."""
        return self._newest.encrypt(f"{context}\0{text}".encode("utf-8", "surrogateescape")).decode()

    def decrypt(self, token: str, context: str) -> str:
        """Raises CiError where no key fits, or it is somebody else's."""
        try:
            plain = self._all.decrypt(token.encode())
        except InvalidToken:
            raise CiError(
                f"the secret of {context} cannot be decrypted",
                hint="was the server's key file replaced? put the former key behind the new one",
                reference="undecryptable",
            ) from None
        belongs, _, text = plain.decode("utf-8", "surrogateescape").partition("\0")
        if belongs != context:
            raise CiError(f"the secret of {context} was made for {belongs}", reference="undecryptable")
        return text

    def renew(self, token: str) -> str:
        """The same encrypted by the newest key."""
        return self._all.rotate(token.encode()).decode()


def load(path: Path) -> Keyring:
    """The keys of a file, one a line; the file is made with a new key where it is missing.

    Raises CiError where others can read it.
    """
    with contextlib.suppress(FileExistsError):
        _create(path)
    mode = path.stat().st_mode
    if mode & 0o077:
        raise CiError(
            f"{path} can be read by others (mode {mode & 0o777:03o})", hint=f"chmod 600 {path}", reference="bad-key"
        )
    return Keyring(path.read_text("ascii", "replace").split())


def rotate(path: Path) -> None:
    """Put a new key in front; what was encrypted can be read as before."""
    before = path.read_text("ascii")
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    _create(part, before)
    part.replace(path)


def _create(path: Path, rest: str = "") -> None:
    """Whole or not at all: a link is made when everything is on the disk."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # nobody else's to read
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{Fernet.generate_key().decode()}\n{rest}")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        Path(draft).unlink()
