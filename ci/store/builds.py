"""Builds: made whole, listed page by page, approved, declined, cancelled."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from ci.errors import CiError
from ci.pipeline.event import Event
from ci.pipeline.wire import from_document, to_document
from ci.store import repositories, stages
from ci.store.records import Build, Filter, Stage, Summary
from ci.store.schema import builds, steps
from ci.store.schema import stages as stage_table
from ci.store.settling import end_waiting, lock, settle
from ci.store.states import State

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


_LONGEST_PAGE = 200
_SUMMARY = tuple(builds.c[field.name] for field in fields(Summary))


def create(
    connection: sql.Connection,
    repository_id: int,
    event: Event,
    planned: Sequence[Stage],
    now: float,
    *,
    blocked: bool = False,
    parent: int = 0,
    priority: int = 0,
    error: str = "",
    diagnostics: Sequence[Mapping[str, Any]] = (),
    number: int = 0,
) -> Build:
    """Make a build with its Stages and steps. `error`: why it has none. `blocked`: it waits for an approval.

    `number`: as `repositories.next_number` has given it in this transaction, for who had to know it before.
    """
    first = State.BLOCKED if blocked else State.PENDING
    state = State.ERROR if error else first if planned else State.SKIPPED
    identifier = connection.execute(
        sql.insert(builds)
        .values(
            repository_id=repository_id,
            number=number or repositories.next_number(connection, repository_id),
            state=state,
            event=to_document(event),
            kind=event.kind,
            branch=_storable(event.branch),
            ref=_storable(event.full_ref),
            commit=event.commit,
            title=_storable(event.message.partition("\n")[0]),
            author=_storable(event.author_login or event.author),
            pull_request=event.pull_request,
            parent=parent,
            priority=priority,
            error=error,
            diagnostics=[dict(one) for one in diagnostics],
            created=now,
            finished=now if state.over else 0.0,
        )
        .returning(builds.c.id)
    ).scalar_one()
    for stage in planned:
        stages.add(connection, identifier, stage, first if stage.state is State.PENDING else stage.state, now)
    return get(connection, identifier)


def get(connection: sql.Connection, identifier: int) -> Build:
    """By our id. Raises CiError."""
    row = connection.execute(sql.select(builds).where(builds.c.id == identifier)).one_or_none()
    if row is None:
        raise CiError(f"no build with the id {identifier}", reference="no-such-build")
    return _build(row)


def find(connection: sql.Connection, repository_id: int, number: int) -> Build:
    """By its number in its repository. Raises CiError."""
    row = connection.execute(
        sql.select(builds).where(builds.c.repository_id == repository_id, builds.c.number == number)
    ).one_or_none()
    if row is None:
        raise CiError(f"no build {number}", reference="no-such-build")
    return _build(row)


def repository_of(connection: sql.Connection, build_id: int) -> int:
    """The id of its repository. Raises CiError."""
    found: int | None = connection.execute(
        sql.select(builds.c.repository_id).where(builds.c.id == build_id)
    ).scalar_one_or_none()
    if found is None:
        raise CiError(f"no build with the id {build_id}", reference="no-such-build")
    return found


def stalled(connection: sql.Connection) -> tuple[int, ...]:
    """Builds with Stages that wait for others, as far as anybody has noted."""
    rows = connection.execute(
        sql.select(stage_table.c.build_id)
        .where(stage_table.c.state == State.PENDING, stage_table.c.ready == 0)
        .distinct()
    )
    return tuple(rows.scalars())


def page(connection: sql.Connection, repository_id: int, wanted: Filter) -> tuple[Build, ...]:
    """The newest builds first. The time does not depend on how many there are: each page begins at a number."""
    return tuple(_build(row) for row in connection.execute(_page(sql.select(builds), repository_id, wanted)))


def summaries(connection: sql.Connection, repository_id: int, wanted: Filter) -> tuple[Summary, ...]:
    """The same for a list."""
    query = _page(sql.select(*_SUMMARY), repository_id, wanted)
    return tuple(_summary(row) for row in connection.execute(query))


def latest(connection: sql.Connection, repository_ids: Collection[int]) -> dict[int, Summary]:
    """The last build of each of these repositories, by the repository's id."""
    last = (
        sql.select(builds.c.repository_id, sql.func.max(builds.c.number).label("number"))
        .where(builds.c.repository_id.in_(repository_ids))
        .group_by(builds.c.repository_id)
        .subquery()
    )
    query = sql.select(*_SUMMARY).join(
        last, (builds.c.repository_id == last.c.repository_id) & (builds.c.number == last.c.number)
    )
    return {row.repository_id: _summary(row) for row in connection.execute(query)}


def _page(query: sql.Select[Any], repository_id: int, wanted: Filter) -> sql.Select[Any]:
    query = query.where(builds.c.repository_id == repository_id)
    for name in ("branch", "kind", "state", "author"):
        if value := getattr(wanted, name):
            query = query.where(builds.c[name] == value)
    if wanted.before:
        query = query.where(builds.c.number < wanted.before)
    return query.order_by(builds.c.number.desc()).limit(min(wanted.limit, _LONGEST_PAGE))


def cancel(connection: sql.Connection, build_id: int, by: str, now: float) -> tuple[Stage, ...]:
    """End a build: what waits will not run. The Stages that run, whose runners are to be told."""
    lock(connection, build_id)
    running = stages.stop(connection, build_id, now)
    end_waiting(connection, build_id, State.KILLED, now)
    connection.execute(sql.update(builds).where(builds.c.id == build_id).values(decided_by=by))
    settle(connection, build_id, now)
    return running


def approve(connection: sql.Connection, build_id: int, by: str, now: float) -> bool:
    """Let a blocked build run. False where it is not blocked (any more)."""
    lock(connection, build_id)
    changed = connection.execute(
        sql.update(builds)
        .where(builds.c.id == build_id, builds.c.state == State.BLOCKED)
        .values(state=State.PENDING, decided_by=by, approved_by=by)
    ).rowcount
    if changed:
        connection.execute(
            sql.update(stage_table)
            .where(stage_table.c.build_id == build_id, stage_table.c.state == State.BLOCKED)
            .values(state=State.PENDING, queued=now)
        )
        blocked = sql.select(stage_table.c.id).where(stage_table.c.build_id == build_id)
        connection.execute(
            sql.update(steps)
            .where(steps.c.stage_id.in_(blocked), steps.c.state == State.BLOCKED)
            .values(state=State.PENDING)
        )
    return changed == 1


def decline(connection: sql.Connection, build_id: int, by: str, now: float) -> bool:
    """End a blocked build for good. False where it is not blocked (any more)."""
    lock(connection, build_id)
    changed = connection.execute(
        sql.update(builds)
        .where(builds.c.id == build_id, builds.c.state == State.BLOCKED)
        .values(state=State.DECLINED, decided_by=by, finished=now)
    ).rowcount
    if changed:
        end_waiting(connection, build_id, State.DECLINED, now)
    return changed == 1


def superseded(connection: sql.Connection, build: Build) -> tuple[Build, ...]:
    """Earlier builds of the same kind, branch and pull request that have not ended: those a newer push makes idle."""
    rows = connection.execute(
        sql.select(builds).where(
            builds.c.repository_id == build.repository_id,
            builds.c.number < build.number,
            builds.c.state.in_([state for state in State if not state.over]),
            builds.c.kind == build.event.kind,
            builds.c.ref == _storable(build.event.full_ref),
            builds.c.pull_request == build.event.pull_request,
        )
    )
    return tuple(_build(row) for row in rows)


def _summary(row: sql.Row[Any]) -> Summary:
    return Summary(**{**row._mapping, "state": State(row.state)})


def _build(row: sql.Row[Any]) -> Build:
    return Build(
        id=row.id,
        repository_id=row.repository_id,
        number=row.number,
        state=State(row.state),
        event=from_document(Event, row.event),
        parent=row.parent,
        priority=row.priority,
        error=row.error,
        diagnostics=tuple(row.diagnostics),
        decided_by=row.decided_by,
        approved_by=row.approved_by,
        created=row.created,
        started=row.started,
        finished=row.finished,
    )


def _storable(text: str) -> str:
    """Without what no database takes in a text: the character 0, and halves of surrogate pairs."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
