"""People's accounts: those of a forge, who log in there, and local ones with a password."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from ci.errors import CiError
from ci.store.schema import users

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An account. `forge_url` is empty for a local one; `forge_id` is what the forge calls it by, whatever its name.

    `admin`: of this server. `password` and `token` (of the forge, encrypted) are as they are stored.
    """

    id: int = 0
    login: str
    forge_url: str = ""
    forge_id: str = ""
    email: str = ""
    avatar_url: str = ""
    admin: bool = False
    active: bool = True
    password: str = ""
    token: str = ""
    created: float = 0.0
    seen: float = 0.0
    synchronized: float = 0.0  # when the forge was asked for roles


def add(connection: sql.Connection, user: User) -> User:
    """Add a local account; it with its id. Raises CiError for a name that is taken, or none."""
    if not _LOGIN.fullmatch(user.login):
        raise CiError(
            f"{user.login!r} is no name of an account",
            hint="up to 64 letters, digits, . _ and -",
            reference="bad-login",
        )
    values = _values(user) | {"forge_id": user.forge_id or user.login}
    try:
        with connection.begin_nested():
            identifier = connection.execute(sql.insert(users).values(values).returning(users.c.id)).scalar_one()
    except IntegrityError as error:
        raise CiError(f"there is an account {user.login} already", reference="user-exists") from error
    return get(connection, identifier)


def arrived(connection: sql.Connection, user: User, now: float) -> User:
    """Somebody has logged in at a forge: the account, made at the first time; names may have changed there since.

    Another's account whose name it has taken over is renamed: names are the forge's to give, ids are for good.
    """
    same_forge = users.c.forge_url == user.forge_url
    connection.execute(
        sql.update(users)
        .where(same_forge, users.c.login == user.login, users.c.forge_id != user.forge_id)
        .values(login=users.c.login + "~" + users.c.forge_id)
    )
    told = {name: getattr(user, name) for name in ("login", "email", "avatar_url", "token")} | {"seen": now}
    identifier = connection.execute(
        sql.update(users).where(same_forge, users.c.forge_id == user.forge_id).values(told).returning(users.c.id)
    ).scalar_one_or_none()
    if identifier is None:
        values = _values(user) | told | {"created": now}
        identifier = connection.execute(sql.insert(users).values(values).returning(users.c.id)).scalar_one()
    return get(connection, identifier)


def get(connection: sql.Connection, identifier: int) -> User:
    """By our id. Raises CiError."""
    row = connection.execute(sql.select(users).where(users.c.id == identifier)).one_or_none()
    if row is None:
        raise CiError(f"no account {identifier}", reference="no-such-user")
    return User(**row._mapping)


def find(connection: sql.Connection, login: str, *, forge_url: str = "") -> User:
    """By its name. Raises CiError."""
    wanted = sql.select(users).where(users.c.login == login, users.c.forge_url == forge_url)
    row = connection.execute(wanted).one_or_none()
    if row is None:
        raise CiError(f"no account {login}", reference="no-such-user")
    return User(**row._mapping)


def every(connection: sql.Connection) -> tuple[User, ...]:
    """All, by name."""
    rows: Iterable[sql.Row[Any]] = connection.execute(sql.select(users).order_by(users.c.login, users.c.forge_url))
    return tuple(User(**row._mapping) for row in rows)


def update(connection: sql.Connection, identifier: int, **changes: Any) -> User:
    """Change fields of one."""
    connection.execute(sql.update(users).where(users.c.id == identifier).values(changes))
    return get(connection, identifier)


def _values(user: User) -> dict[str, Any]:
    return {field.name: getattr(user, field.name) for field in fields(user) if field.name != "id"}
