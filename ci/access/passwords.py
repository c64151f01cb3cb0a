"""Passwords of local accounts: kept as scrypt makes them (RFC 7914), with the costs that OWASP asks for.

The costs are part of what is kept, so that they can rise: `check` says when one is to be kept anew.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os

from ci.errors import CiError

_COST, _BLOCK, _PARALLEL = 15, 8, 3  # 2**15 × 8 × 128 bytes = 32 MiB, three times
_MEMORY = 64 << 20
_SALT = 16
_SHORTEST, _LONGEST = 8, 1024


def keep(password: str) -> str:
    """What is stored of a password. Raises CiError for one that is too short or too long."""
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise CiError(f"a password has {_SHORTEST} to {_LONGEST} characters", reference="bad-password")
    salt = os.urandom(_SALT)
    made = _scrypt(password, salt, _COST, _BLOCK, _PARALLEL)
    return f"scrypt${_COST}${_BLOCK}${_PARALLEL}${_text(salt)}${_text(made)}"


def check(password: str, kept: str) -> bool:
    """Whether it is the password. As slow for an account that has none (`kept` empty): nobody is told which exist."""
    try:
        name, cost, block, parallel, salt, made = kept.split("$")
        if name != "scrypt":
            raise ValueError(name)
        figures = int(cost), int(block), int(parallel)
        expected, seasoning = base64.b64decode(made), base64.b64decode(salt)
    except (ValueError, binascii.Error):
        figures, expected, seasoning = (_COST, _BLOCK, _PARALLEL), b"", b"\0" * _SALT
    given = _scrypt(password[:_LONGEST], seasoning, *figures)
    return hmac.compare_digest(given, expected)


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=1 << cost, r=block, p=parallel, maxmem=_MEMORY
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
