"""Stages and their steps: taken by runners, brought on by what they report.

Every change of a state names the state it starts from, so that of several who try the same at once one succeeds, and
a runner that was given up for lost changes nothing any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from ci.errors import CiError
from ci.store.records import Stage, Step
from ci.store.schema import stages, steps
from ci.store.settling import end_steps, lock_of, settle
from ci.store.states import State

if TYPE_CHECKING:
    from collections.abc import Sequence


def add(connection: sql.Connection, build_id: int, stage: Stage, state: State, now: float) -> None:
    """Add a Stage of a build, in this state, with its steps."""
    identifier = connection.execute(
        sql.insert(stages)
        .values(
            build_id=build_id,
            number=stage.number,
            name=stage.name,
            matrix=dict(stage.matrix),
            labels=dict(stage.labels),
            depends_on=list(stage.depends_on),
            spec=dict(stage.spec),
            state=state,
            queued=now,
            finished=now if state.over else 0.0,
        )
        .returning(stages.c.id)
    ).scalar_one()
    if stage.steps:
        connection.execute(
            sql.insert(steps),
            [
                {
                    "stage_id": identifier,
                    "number": step.number,
                    "name": step.name,
                    "kind": step.kind,
                    "state": state if step.state is State.PENDING else step.state,
                }
                for step in stage.steps
            ],
        )


def of_build(connection: sql.Connection, build_id: int) -> tuple[Stage, ...]:
    """A build's Stages with their steps, by number."""
    found = connection.execute(sql.select(stages).where(stages.c.build_id == build_id).order_by(stages.c.number)).all()
    rows = connection.execute(
        sql.select(steps).join(stages).where(stages.c.build_id == build_id).order_by(steps.c.stage_id, steps.c.number)
    ).all()
    return tuple(_stage(row, [step for step in rows if step.stage_id == row.id]) for row in found)


def get(connection: sql.Connection, identifier: int) -> Stage:
    """A Stage by our id, with its steps. Raises CiError."""
    row = connection.execute(sql.select(stages).where(stages.c.id == identifier)).one_or_none()
    if row is None:
        raise CiError(f"no Stage with the id {identifier}", reference="no-such-stage")
    rows = connection.execute(sql.select(steps).where(steps.c.stage_id == identifier).order_by(steps.c.number)).all()
    return _stage(row, rows)


def accept(connection: sql.Connection, stage_id: int, runner: str, now: float) -> bool:
    """Whether the Stage is this runner's from now on; False where another was quicker, or it is not to run any more."""
    build_id = lock_of(connection, stage_id)
    changed = connection.execute(
        sql.update(stages)
        .where(stages.c.id == stage_id, stages.c.state == State.PENDING)
        .values(state=State.RUNNING, runner=runner, started=now, attempt=stages.c.attempt + 1)
    ).rowcount
    if changed:
        settle(connection, build_id, now)
    return changed == 1


def give_up(connection: sql.Connection, stage_id: int, runner: str, now: float) -> bool:
    """A runner is lost: its Stage waits for another, from the beginning. False where it is not that runner's."""
    build_id = lock_of(connection, stage_id)
    changed = connection.execute(
        sql.update(stages)
        .where(stages.c.id == stage_id, stages.c.state == State.RUNNING, stages.c.runner == runner)
        .values(state=State.PENDING, runner="", started=0.0, queued=now)
    ).rowcount
    if changed:
        again = {"state": State.PENDING, "exit_code": None, "error": "", "started": 0.0, "finished": 0.0}
        connection.execute(sql.update(steps).where(steps.c.stage_id == stage_id).values(again))
        settle(connection, build_id, now)
    return changed == 1


def report_step(connection: sql.Connection, stage_id: int, runner: str, step: Step) -> bool:
    """Note how a step stands. False where the Stage is not that runner's (any more)."""
    owned = sql.select(stages.c.id).where(
        stages.c.id == stage_id, stages.c.runner == runner, stages.c.state == State.RUNNING
    )
    lock_of(connection, stage_id)
    changed = connection.execute(
        sql.update(steps)
        .where(steps.c.stage_id.in_(owned), steps.c.number == step.number)
        .values(
            state=step.state,
            exit_code=step.exit_code,
            error=step.error,
            started=step.started,
            finished=step.finished,
        )
    ).rowcount
    return changed == 1


def finish(
    connection: sql.Connection, stage_id: int, runner: str, state: State, now: float, *, error: str = ""
) -> bool:
    """A runner says how its Stage ended. False where it is not that runner's (any more)."""
    build_id = lock_of(connection, stage_id)
    changed = connection.execute(
        sql.update(stages)
        .where(stages.c.id == stage_id, stages.c.state == State.RUNNING, stages.c.runner == runner)
        .values(state=state, error=error, finished=now)
    ).rowcount
    if changed:
        end_steps(connection, [stage_id], now)
        settle(connection, build_id, now)
    return changed == 1


def skip(connection: sql.Connection, stage_id: int, now: float) -> bool:
    """A Stage that is not to run, since another ended as it did. False where it does not wait (any more)."""
    build_id = lock_of(connection, stage_id)
    changed = connection.execute(
        sql.update(stages)
        .where(stages.c.id == stage_id, stages.c.state == State.PENDING)
        .values(state=State.SKIPPED, finished=now)
    ).rowcount
    if changed:
        end_steps(connection, [stage_id], now)
        settle(connection, build_id, now)
    return changed == 1


def ready(connection: sql.Connection, build_id: int) -> tuple[Stage, ...]:
    """Stages that wait for no other Stage, and for a runner."""
    found = of_build(connection, build_id)
    over = {one.number for one in found if one.state.over}
    return tuple(one for one in found if one.state is State.PENDING and over.issuperset(one.depends_on))


def _stage(row: sql.Row[Any], found: Sequence[sql.Row[Any]]) -> Stage:
    return Stage(
        **{
            **row._mapping,
            "state": State(row.state),
            "depends_on": tuple(row.depends_on),
            "steps": tuple(_step(step) for step in found),
        }
    )


def _step(row: sql.Row[Any]) -> Step:
    known = {name: value for name, value in row._mapping.items() if name not in ("id", "stage_id")}
    return Step(**known | {"state": State(row.state)})
