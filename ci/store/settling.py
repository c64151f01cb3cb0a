"""What the end of a Stage means for its steps and for its build.

Whoever changes a build's Stages locks the build's row first. So of two Stages that end at once the second sees both,
and nobody waits for a row while another waits for one of his. On SQLite every write has the whole file to itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from ci.store.schema import builds, stages, steps
from ci.store.states import State, together

if TYPE_CHECKING:
    from collections.abc import Sequence

WAITING = (State.BLOCKED, State.PENDING)


def lock(connection: sql.Connection, build_id: int) -> None:
    """Have a build and its Stages to oneself until the transaction ends."""
    connection.execute(sql.select(builds.c.id).where(builds.c.id == build_id).with_for_update())


def lock_of(connection: sql.Connection, stage_id: int) -> int:
    """The same for the build of a Stage; its id, 0 where there is none."""
    build_id: int | None = connection.execute(
        sql.select(stages.c.build_id).where(stages.c.id == stage_id)
    ).scalar_one_or_none()
    if build_id is None:
        return 0
    lock(connection, build_id)
    return build_id


def settle(connection: sql.Connection, build_id: int, now: float) -> None:
    """Give a build, which is locked, the state that its Stages make together."""
    states = connection.execute(sql.select(stages.c.state).where(stages.c.build_id == build_id)).scalars()
    state = together(State(found) for found in states)
    values: dict[str, Any] = {"state": state, "finished": now if state.over else 0.0}
    if state is State.RUNNING:  # the time of the first that ran
        values["started"] = sql.case((builds.c.started == 0, now), else_=builds.c.started)
    connection.execute(sql.update(builds).where(builds.c.id == build_id).values(values))


def end_waiting(connection: sql.Connection, build_id: int, state: State, now: float) -> None:
    """Stages of a build that have not begun will not."""
    waiting = connection.execute(
        sql.update(stages)
        .where(stages.c.build_id == build_id, stages.c.state.in_(WAITING))
        .values(state=state, finished=now)
        .returning(stages.c.id)
    ).scalars()
    end_steps(connection, list(waiting), now)


def end_steps(connection: sql.Connection, stage_ids: Sequence[int], now: float) -> None:
    """Steps that have not begun will not; one that its runner has left running was killed with the Stage."""
    for before, after in ((WAITING, State.SKIPPED), ((State.RUNNING,), State.KILLED)):
        connection.execute(
            sql.update(steps)
            .where(steps.c.stage_id.in_(stage_ids), steps.c.state.in_(before))
            .values(state=after, finished=now)
        )


def begin_steps_again(connection: sql.Connection, stage_ids: Sequence[int]) -> None:
    """Steps of Stages that wait once more know nothing of what was."""
    again = {"state": State.PENDING, "exit_code": None, "error": "", "started": 0.0, "finished": 0.0}
    connection.execute(sql.update(steps).where(steps.c.stage_id.in_(stage_ids)).values(again))
