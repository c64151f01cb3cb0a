"""Which Stages of a repository a runner may have: those that wait for no other Stage, as many at once as allowed.

A Stage says how many of its name run at once, over all builds of its repository (`concurrency`); the repository's
settings say how many of all. The more urgent builds come first, then the older ones. Whoever releases has the
repository's row to himself: two builds never release the last place both.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from ci.store.schema import builds, repositories, stages
from ci.store.states import State

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What a queue has to know of a Stage."""

    id: int
    build_id: int
    number: int
    name: str
    labels: Mapping[str, str]
    attempt: int
    priority: int


def mark_ready(connection: sql.Connection, stage_ids: Collection[int], now: float) -> None:
    """Stages that wait for no other one (any more)."""
    connection.execute(sql.update(stages).where(stages.c.id.in_(stage_ids)).values(ready=now))


def release(connection: sql.Connection, repository_id: int, now: float, *, limit: int = 0) -> tuple[Released, ...]:
    """Let runners have what they may have; those that are released by this. `limit` 0: any number at once."""
    connection.execute(sql.select(repositories.c.id).where(repositories.c.id == repository_id).with_for_update())
    of_repository = builds.c.repository_id == repository_id
    waiting = connection.execute(
        _query()
        .where(of_repository, stages.c.state == State.PENDING, stages.c.ready > 0, stages.c.released == 0)
        .order_by(builds.c.priority.desc(), builds.c.number, stages.c.number)
    ).all()
    if not waiting:
        return ()
    taken = Counter(
        connection.execute(
            sql.select(stages.c.name)
            .join(builds)
            .where(of_repository, stages.c.state.in_((State.PENDING, State.RUNNING)), stages.c.released > 0)
        ).scalars()
    )
    found = []
    for row in waiting:
        if (row.concurrency and taken[row.name] >= row.concurrency) or (limit and taken.total() >= limit):
            continue
        taken[row.name] += 1
        found.append(row)
    connection.execute(sql.update(stages).where(stages.c.id.in_([row.id for row in found])).values(released=now))
    return tuple(_released(row) for row in found)


def waiting(connection: sql.Connection) -> tuple[Released, ...]:
    """All that runners may have and none has taken: what the queues must hold."""
    rows = connection.execute(_query().where(stages.c.state == State.PENDING, stages.c.released > 0))
    return tuple(_released(row) for row in rows)


def held_back(connection: sql.Connection) -> tuple[int, ...]:
    """Repositories with Stages that wait for nothing but their release."""
    rows = connection.execute(
        sql.select(builds.c.repository_id)
        .join(stages)
        .where(stages.c.state == State.PENDING, stages.c.ready > 0, stages.c.released == 0)
        .distinct()
    )
    return tuple(rows.scalars())


def _query() -> sql.Select[Any]:
    columns = ("id", "build_id", "number", "name", "labels", "attempt", "concurrency")
    return sql.select(*(stages.c[name] for name in columns), builds.c.priority).join(builds)


def _released(row: sql.Row[Any]) -> Released:
    return Released(**{name: value for name, value in row._mapping.items() if name != "concurrency"})
