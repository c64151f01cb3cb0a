"""API tokens of accounts: each has a name, a role that it does not go beyond, and perhaps an end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sql

from ci.access import credentials
from ci.access.roles import Role
from ci.errors import CiError
from ci.store.schema import tokens, users
from ci.store.users import User

if TYPE_CHECKING:
    from ci.access.credentials import Credential

_LONGEST_NAME = 100
_NOTED = 300.0  # seconds between two writings of when it was used


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """`beginning` are its first characters. `expires` 0: never; `used` 0: not yet."""

    id: int
    user_id: int
    name: str
    beginning: str
    role: Role
    created: float = 0.0
    used: float = 0.0
    expires: float = 0.0


def make(
    connection: sql.Connection, user_id: int, name: str, role: Role, now: float, *, expires: float = 0.0
) -> tuple[Token, Credential]:
    """A new one; its text is shown this once. Raises CiError for a bad name."""
    name = " ".join(name.split())
    if not name or len(name) > _LONGEST_NAME:
        raise CiError(f"a token has a name of 1 to {_LONGEST_NAME} characters", reference="bad-token")
    made = credentials.make()
    values = {"user_id": user_id, "name": name, "role": role, "created": now, "expires": expires}
    identifier = connection.execute(
        sql.insert(tokens).values(**values, digest=made.digest, beginning=made.beginning).returning(tokens.c.id)
    ).scalar_one()
    return next(one for one in of_user(connection, user_id) if one.id == identifier), made


def user(connection: sql.Connection, text: str, now: float) -> tuple[User, Token, bool] | None:
    """Whose a token is, and whether to note that it was used; None for one that is not in force."""
    row = connection.execute(
        sql.select(users, *(column.label(f"token_{column.name}") for column in tokens.columns))
        .join(tokens, tokens.c.user_id == users.c.id)
        .where(tokens.c.digest == credentials.digest(text), users.c.active.is_(sql.true()))
    ).one_or_none()
    if row is None or 0 < row.token_expires <= now:
        return None
    names = [column.name for column in tokens.columns if column.name != "digest"]
    found = _token({name: row._mapping[f"token_{name}"] for name in names})
    return User(**{column.name: row._mapping[column] for column in users.columns}), found, now - found.used > _NOTED


def note(connection: sql.Connection, identifier: int, now: float) -> None:
    """It was used."""
    connection.execute(sql.update(tokens).where(tokens.c.id == identifier).values(used=now))


def of_user(connection: sql.Connection, user_id: int) -> tuple[Token, ...]:
    """An account's, the oldest first."""
    columns = [column for column in tokens.columns if column.name != "digest"]
    rows = connection.execute(sql.select(*columns).where(tokens.c.user_id == user_id).order_by(tokens.c.id))
    return tuple(_token(dict(row._mapping)) for row in rows)


def remove(connection: sql.Connection, user_id: int, identifier: int) -> None:
    """Raises CiError where the account has none of this id."""
    gone = connection.execute(sql.delete(tokens).where(tokens.c.id == identifier, tokens.c.user_id == user_id)).rowcount
    if not gone:
        raise CiError(f"no token {identifier}", reference="no-such-token")


def _token(values: dict[str, object]) -> Token:
    return Token(**{**values, "role": Role(str(values["role"]))})  # type: ignore[arg-type]
