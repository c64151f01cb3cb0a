"""Schedules of repositories: when each is due next, and that it is run once for each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from ci.errors import CiError
from ci.store.schema import crons

_LONGEST = 100  # characters of a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A schedule. `branch` empty: the repository's default one. `outcome`: what came of the last time."""

    id: int = 0
    repository_id: int
    name: str
    schedule: str
    branch: str = ""
    enabled: bool = True
    next: float = 0.0
    created: float = 0.0
    outcome: str = ""


def add(connection: sql.Connection, cron: Cron) -> Cron:
    """Add one; it with its id. Raises CiError for a bad name, or one that the repository has already."""
    if not cron.name.isprintable() or not 0 < len(cron.name) <= _LONGEST:
        raise CiError(f"{cron.name[:_LONGEST]!r} is no name of a schedule", reference="bad-schedule")
    values = {name: getattr(cron, name) for name in Cron.__slots__ if name != "id"}
    try:
        with connection.begin_nested():
            identifier = connection.execute(sql.insert(crons).values(values).returning(crons.c.id)).scalar_one()
    except IntegrityError:
        raise CiError(f"there is a schedule {cron.name} already", reference="schedule-exists") from None
    return get(connection, identifier)


def get(connection: sql.Connection, identifier: int) -> Cron:
    """By our id. Raises CiError."""
    row = connection.execute(sql.select(crons).where(crons.c.id == identifier)).one_or_none()
    if row is None:
        raise CiError(f"no schedule {identifier}", reference="no-such-schedule")
    return Cron(**row._mapping)


def of_repository(connection: sql.Connection, repository_id: int) -> tuple[Cron, ...]:
    """A repository's, by name."""
    rows = connection.execute(sql.select(crons).where(crons.c.repository_id == repository_id).order_by(crons.c.name))
    return tuple(Cron(**row._mapping) for row in rows)


def due(connection: sql.Connection, now: float) -> tuple[int, ...]:
    """Ids of those whose time has come."""
    rows = connection.execute(sql.select(crons.c.id).where(crons.c.enabled.is_(sql.true()), crons.c.next <= now))
    return tuple(rows.scalars())


def take(connection: sql.Connection, cron: Cron, following: float, outcome: str) -> bool:
    """Whether this time of it is the caller's to run; False where somebody has. In the transaction that does."""
    changed = connection.execute(
        sql.update(crons)
        .where(crons.c.id == cron.id, crons.c.next == cron.next, crons.c.enabled.is_(sql.true()))
        .values(next=following, outcome=outcome)
    ).rowcount
    return changed == 1


def update(connection: sql.Connection, identifier: int, **fields: Any) -> Cron:
    """Change fields of one."""
    connection.execute(sql.update(crons).where(crons.c.id == identifier).values(fields))
    return get(connection, identifier)


def remove(connection: sql.Connection, repository_id: int, name: str) -> None:
    """Raises CiError where the repository has none of this name."""
    where = (crons.c.repository_id == repository_id, crons.c.name == name)
    if not connection.execute(sql.delete(crons).where(*where)).rowcount:
        raise CiError(f"no schedule {name}", reference="no-such-schedule")
