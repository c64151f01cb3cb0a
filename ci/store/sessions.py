"""Who is logged in with a browser. A session ends when it was not used for long, or after a longer time in any case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sql

from ci.access import credentials
from ci.store.schema import sessions, users
from ci.store.users import User

if TYPE_CHECKING:
    from ci.access.credentials import Credential

IDLE = 14 * 86400.0  # seconds
LONGEST = 90 * 86400.0
_NOTED = 300.0  # seconds between two writings of when it was used


def begin(connection: sql.Connection, user_id: int, now: float) -> Credential:
    """Somebody has logged in; the text is for his cookie."""
    made = credentials.make("")
    connection.execute(sql.insert(sessions).values(digest=made.digest, user_id=user_id, created=now, seen=now))
    return made


def user(connection: sql.Connection, text: str, now: float) -> tuple[User, bool] | None:
    """Whose session a cookie is, and whether to note that it was used; None for one that has ended, or never was."""
    row = connection.execute(
        sql.select(users, sessions.c.created.label("began"), sessions.c.seen.label("used"))
        .join(sessions, sessions.c.user_id == users.c.id)
        .where(sessions.c.digest == credentials.digest(text), users.c.active.is_(sql.true()))
    ).one_or_none()
    if row is None or now - row.used > IDLE or now - row.began > LONGEST:
        return None
    return User(**{column.name: row._mapping[column] for column in users.columns}), now - row.used > _NOTED


def note(connection: sql.Connection, text: str, now: float) -> None:
    """It was used."""
    connection.execute(sql.update(sessions).where(sessions.c.digest == credentials.digest(text)).values(seen=now))


def end(connection: sql.Connection, text: str) -> None:
    """Log out."""
    connection.execute(sql.delete(sessions).where(sessions.c.digest == credentials.digest(text)))


def end_all(connection: sql.Connection, user_id: int) -> None:
    """Log an account out everywhere: its password has changed, or it was locked."""
    connection.execute(sql.delete(sessions).where(sessions.c.user_id == user_id))


def forget(connection: sql.Connection, now: float) -> int:
    """Remove those that have ended by themselves; how many."""
    over = (sessions.c.seen < now - IDLE) | (sessions.c.created < now - LONGEST)
    return connection.execute(sql.delete(sessions).where(over)).rowcount
