"""Who a container's process runs as: `USER` and `--user` against the image's own /etc/passwd and /etc/group. Pure.

The forms are docker's: empty, user, uid, user:group, uid:gid and mixtures. The standard library's `pwd` and `grp` are
no use here: they ask the C library, which would load the image's name-service modules (CVE-2019-14271). Numbers are
checked before anything is converted, so that none wraps around to root (CVE-2024-40635).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.errors import InvalidError, NotFoundError
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LARGEST_ID = 2**31 - 1


class Identity(NamedTuple):
    """`groups` are the supplementary ones; `home` is an absolute path in the container."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def resolve(user: str, passwd: bytes, group: bytes) -> Identity:
    """The identity that `user` names; NotFoundError for an unknown name, InvalidError for a number out of range."""
    name, colon, group_name = user.partition(":")
    if colon and (not name or not group_name):
        raise InvalidError(f"user {user!r} is not valid", hint="give it as user or user:group")
    accounts = list(_rows(passwd, 7))
    groups = list(_rows(group, 4))
    uid = 0 if not name else _number(name, "user")
    account = next((row for row in accounts if (row[0] == name if uid is None else row[2] == str(uid))), None)
    if uid is None:
        if account is None:
            raise NotFoundError(
                f"no user {name!r} in the image's /etc/passwd",
                hint="use a number, or another image",
                reference="no-such-user",
            )
        uid = _number(account[2], "user") or 0
    gid = 0 if account is None else _number(account[3], "group") or 0
    home = account[5] if account is not None and account[5].startswith("/") else "/"
    if group_name:
        number = _number(group_name, "group")
        if number is None:
            row = next((row for row in groups if row[0] == group_name), None)
            if row is None:
                raise NotFoundError(
                    f"no group {group_name!r} in the image's /etc/group", hint="use a number", reference="no-such-group"
                )
            number = _number(row[2], "group") or 0
        return Identity(uid, number, (), home)
    members = (
        ()
        if account is None
        else tuple(
            number
            for row in groups
            if account[0] in row[3].split(",") and (number := _number(row[2], "group")) is not None
        )
    )
    return Identity(uid, gid, members, home)


def resolve_groups(names: Iterable[str], group: bytes) -> tuple[int, ...]:
    """The numbers of groups given by name or number; NotFoundError for a name that the image does not know."""
    found = []
    for name in names:
        number = _number(name, "group")
        if number is None:
            row = next((row for row in _rows(group, 4) if row[0] == name), None)
            if row is None:
                raise NotFoundError(
                    f"no group {name!r} in the image's /etc/group", hint="use a number", reference="no-such-group"
                )
            number = _number(row[2], "group") or 0
        found.append(number)
    return tuple(found)


def _number(text: str, kind: str) -> int | None:
    """The id that `text` spells; None when it is a name."""
    digits = text.removeprefix("-").removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return None
    if text != digits or len(digits) > 10 or int(digits) > _LARGEST_ID:
        raise InvalidError(f"{kind} id {text[:40]} is out of range", hint=f"use a number from 0 to {_LARGEST_ID}")
    return int(digits)


def _rows(text: bytes, fields: int) -> Iterator[list[str]]:
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        row = line.strip().split(":")
        if len(row) >= fields and row[0] and not row[0].startswith("#"):
            yield row
