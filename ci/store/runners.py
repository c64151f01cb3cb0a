"""The runners that may work for the server: each has a name and a token, which is stored as a hash only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from ci.access import credentials
from ci.errors import CiError
from ci.store.schema import runners, stages
from ci.store.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ci.access.credentials import Credential

PREFIX = "hako_runner_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """`facts` is what it says of itself, `load` what its last heartbeat said. `seen` 0: never."""

    id: int
    name: str
    active: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    load: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0
    seen: float = 0.0


def add(connection: sql.Connection, name: str, now: float, *, credential: Credential | None = None) -> Credential:
    """A new runner; its token's text is shown this once. Raises CiError for a bad name, or one that is taken."""
    if not _NAME.fullmatch(name):
        raise CiError(f"{name!r} is no name of a runner", hint="letters, digits, _ . and -", reference="bad-runner")
    made = credential or credentials.make(PREFIX)
    try:
        with connection.begin_nested():
            connection.execute(
                sql.insert(runners).values(
                    name=name, digest=made.digest, labels={}, facts={}, load={}, created=now, active=True
                )
            )
    except IntegrityError:
        raise CiError(f"there is a runner {name} already", reference="runner-exists") from None
    return made


def by_token(connection: sql.Connection, text: str) -> Runner | None:
    """Whose a token is; None for one that is not in force."""
    row = connection.execute(
        sql.select(*_columns()).where(runners.c.digest == credentials.digest(text), runners.c.active.is_(sql.true()))
    ).one_or_none()
    return Runner(**row._mapping) if row is not None else None


def find(connection: sql.Connection, name: str) -> Runner:
    """By its name. Raises CiError."""
    row = connection.execute(sql.select(*_columns()).where(runners.c.name == name)).one_or_none()
    if row is None:
        raise CiError(f"no runner {name}", reference="no-such-runner")
    return Runner(**row._mapping)


def every(connection: sql.Connection) -> tuple[Runner, ...]:
    """All, by name."""
    return tuple(Runner(**row._mapping) for row in connection.execute(sql.select(*_columns()).order_by(runners.c.name)))


def update(connection: sql.Connection, identifier: int, **fields: Any) -> None:
    """Change fields of one: what it says of itself, when it was seen, whether it may work."""
    connection.execute(sql.update(runners).where(runners.c.id == identifier).values(fields))


def remove(connection: sql.Connection, name: str) -> None:
    """It is not to work any more; what it has, is lost with it. Raises CiError."""
    if not connection.execute(sql.delete(runners).where(runners.c.name == name)).rowcount:
        raise CiError(f"no runner {name}", reference="no-such-runner")


def lost(connection: sql.Connection, before: float) -> tuple[str, ...]:
    """Names of runners that have Stages and were not heard of since a time, or are no more."""
    heard = sql.select(runners.c.name).where(runners.c.seen >= before)
    rows = connection.execute(
        sql.select(stages.c.runner)
        .where(stages.c.state == State.RUNNING, stages.c.runner.not_in(heard), stages.c.started < before)
        .distinct()
    )
    return tuple(rows.scalars())


def _columns() -> list[sql.Column[Any]]:
    return [column for column in runners.columns if column.name != "digest"]
