"""A build begun again under its own number: the whole of it, what failed, or one Stage with those that depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sql

from ci.errors import CiError
from ci.store import builds, stages
from ci.store.schema import builds as build_table
from ci.store.schema import stages as stage_table
from ci.store.schema import steps
from ci.store.settling import begin_steps_again, lock, settle
from ci.store.states import State

if TYPE_CHECKING:
    from collections.abc import Collection

_BAD = frozenset({State.FAILURE, State.ERROR, State.KILLED, State.DECLINED})


def restart(
    connection: sql.Connection, build_id: int, now: float, *, numbers: Collection[int] = (), blocked: bool = False
) -> None:
    """Have Stages wait once more; no `numbers`: all. What depends on one does, too. `blocked`: for an approval.

    Raises CiError for a build that was declined or has no Stages, for one that waits for an approval, and for a Stage
    that is not over.
    """
    lock(connection, build_id)
    build = builds.get(connection, build_id)
    if build.state in (State.BLOCKED, State.DECLINED):
        raise CiError(f"build {build.number} is {build.state}", hint="approve it first", reference="not-approved")
    found = stages.outline(connection, build_id)
    chosen = set(numbers) or {one.number for one in found}
    missing = chosen - {one.number for one in found}
    if missing or not found:
        wanted = f"Stage {min(missing)}" if missing else "Stage"
        raise CiError(f"build {build.number} has no {wanted}", reference="no-such-stage")
    while more := {one.number for one in found if not chosen.isdisjoint(one.depends_on)} - chosen:
        chosen |= more
    for one in found:
        if one.number in chosen and not one.state.over:
            raise CiError(
                f"Stage {one.number} of build {build.number} is {one.state}",
                hint="cancel it first",
                reference="not-over",
            )
    ids = [one.id for one in found if one.number in chosen]
    state = State.BLOCKED if blocked else State.PENDING
    texts = {"runner": "", "error": "", "outputs": {}, "losses": 0}
    times = dict.fromkeys(("ready", "released", "cancelled", "started", "finished"), 0.0)
    connection.execute(
        sql.update(stage_table).where(stage_table.c.id.in_(ids)).values(state=state, queued=now, **texts, **times)
    )
    begin_steps_again(connection, ids)
    if blocked:
        connection.execute(sql.update(steps).where(steps.c.stage_id.in_(ids)).values(state=state))
    connection.execute(sql.update(build_table).where(build_table.c.id == build_id).values(started=0.0, decided_by=""))
    settle(connection, build_id, now)


def failed(connection: sql.Connection, build_id: int) -> tuple[int, ...]:
    """Numbers of the Stages that did not go well."""
    return tuple(one.number for one in stages.outline(connection, build_id) if one.state in _BAD)
