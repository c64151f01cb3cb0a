"""Accounts in files: names and passwords as Apache's `htpasswd -B` writes them, and rules for who may do what.

Passwords are bcrypt hashes alone; the other formats are broken. A hash takes a tenth of a second to check, on purpose,
so a password that was right is remembered for a while, by a keyed hash of it. Files are read anew when they change. A
rule is a line `ACCOUNT PATTERN ACTIONS`:

    *      public/**   pull                # anybody, also without an account
    @      **          pull                # every account
    alice  team/**     pull,push,delete

`*` in a pattern is one part of a name, `**` any number. What no rule allows is denied.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import threading
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import bcrypt

from sandbox.errors import InvalidError
from sandbox.registry.server.access import ALL, ANONYMOUS, NOTHING, Action

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")
ANYBODY, ACCOUNTS = "*", "@"
_LONGEST = 72  # bytes of a password that bcrypt looks at; longer ones are refused rather than cut
_REMEMBERED = 1000
_HASH = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_NOBODY = b"$2b$10$" + b"." * 53  # is checked for accounts that do not exist, so that these take as long


class Rule(NamedTuple):
    """Who may do what with the repositories that fit."""

    account: str
    pattern: re.Pattern[str]
    actions: frozenset[Action]


class FileAccounts:
    """Accounts of a file. Without rules every account may do everything; `anonymous_pull` lets anybody pull."""

    def __init__(self, passwords: Path, *, rules: Path | None = None, anonymous_pull: bool = False) -> None:
        self._passwords = _Watched(passwords, parse_passwords)
        self._rules = _Watched(rules, parse_rules) if rules is not None else None
        self._anonymous = frozenset((Action.PULL,)) if anonymous_pull else NOTHING
        self._salt = os.urandom(32)
        self._right: dict[bytes, None] = {}
        self._lock = threading.Lock()
        self._passwords.value()  # mistakes are told at once
        if self._rules is not None:
            self._rules.value()

    def check(self, account: str, password: str) -> str | None:
        """See `access.Accounts`."""
        return account if self._is_right(account, password) else None

    def rights(self, account: str, repository: str) -> frozenset[Action]:
        """See `access.Accounts`."""
        found = self._anonymous
        if account != ANONYMOUS and account not in self._passwords.value():  # deleted since its token was made
            return found
        if self._rules is None:
            return found if account == ANONYMOUS else ALL
        for rule in self._rules.value():
            fits = rule.account in (ANYBODY, account) or (rule.account == ACCOUNTS and account != ANONYMOUS)
            if fits and rule.pattern.fullmatch(repository):
                found |= rule.actions
        return found

    def _is_right(self, account: str, password: str) -> bool:
        known = self._passwords.value().get(account)
        secret = password.encode("utf-8")
        if len(secret) > _LONGEST or b"\0" in secret:
            return False
        seal = hmac.digest(self._salt, b"\0".join((account.encode("utf-8"), known or b"", secret)), hashlib.sha256)
        with self._lock:
            if seal in self._right:
                return True
        if not bcrypt.checkpw(secret, known or _NOBODY) or known is None:
            return False
        with self._lock:
            self._right[seal] = None
            while len(self._right) > _REMEMBERED:
                del self._right[next(iter(self._right))]
        return True


class _Watched(Generic[T]):
    """What is in a file, read anew when that has changed. A file that is wrong or gone leaves what was known."""

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self._path = path
        self._parse = parse
        self._known: tuple[tuple[int, int, int], T] | None = None

    def value(self) -> T:
        """The content now. Raises InvalidError, OSError the first time."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if self._known is None or self._known[0] != stamp:
                self._known = (stamp, self._parse(self._path.read_text()))
        except (OSError, InvalidError):
            if self._known is None:
                raise
        return self._known[1]


def parse_passwords(text: str) -> dict[str, bytes]:
    """The hashes by account. Raises InvalidError with the line's number."""
    found = {}
    for number, line in _lines(text):
        account, _, value = line.partition(":")
        matched = _HASH.fullmatch(value)
        if not account or matched is None:
            raise InvalidError(
                f"line {number} of the password file is no bcrypt entry",
                hint="make it with `htpasswd -B` or `sandbox registry passwd`",
            )
        found[account] = value.encode("ascii")
    return found


def parse_rules(text: str) -> tuple[Rule, ...]:
    """The rules. Raises InvalidError with the line's number."""
    found = []
    for number, line in _lines(text):
        words = line.split()
        if len(words) != 3:
            raise InvalidError(f"line {number} of the rules is not ACCOUNT PATTERN ACTIONS")
        unknown = set(words[2].split(",")) - set(Action)
        if unknown:
            raise InvalidError(
                f"line {number} of the rules has the action {unknown.pop()!r}", hint="actions are pull, push and delete"
            )
        found.append(Rule(words[0], _pattern(words[1]), frozenset(map(Action, words[2].split(",")))))
    return tuple(found)


def entry(account: str, password: str) -> str:
    """A line for a password file. Raises InvalidError."""
    if not account or ":" in account or not account.isprintable() or account in (ANYBODY, ACCOUNTS):
        raise InvalidError(f"{account!r} cannot be the name of an account")
    secret = password.encode("utf-8")
    if not secret or len(secret) > _LONGEST or b"\0" in secret:
        raise InvalidError(f"a password has from 1 to {_LONGEST} bytes")
    return f"{account}:{bcrypt.hashpw(secret, bcrypt.gensalt(10)).decode('ascii')}"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something."""
    for number, line in enumerate(text.splitlines(), 1):
        meaning = line.partition("#")[0].strip()
        if meaning:
            yield number, meaning


def _pattern(text: str) -> re.Pattern[str]:
    parts = (re.escape(part) for part in re.split(r"(\*\*|\*)", text))
    return re.compile("".join({r"\*\*": ".*", r"\*": "[^/]*"}.get(part, part) for part in parts))
