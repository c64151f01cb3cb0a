"""What a request shows to be somebody's: ids of sessions and API tokens. 256 bits of chance each.

Stored is their SHA-256, which is enough for what nobody can guess: who reads the database can log in with none of
them. A token begins with a word that scanners for leaked secrets can look for.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import NamedTuple

PREFIX = "hako_"
_BYTES = 32
_SHOWN = len(PREFIX) + 4


class Credential(NamedTuple):
    """`text` is shown once, to whom it is made for; `digest` is kept; `beginning` is for lists of them."""

    text: str
    digest: str
    beginning: str


def make(prefix: str = PREFIX) -> Credential:
    """A new one."""
    text = prefix + secrets.token_urlsafe(_BYTES)
    return Credential(text, digest(text), text[:_SHOWN])


def digest(text: str) -> str:
    """By what it is found."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
