"""Stages and their steps: taken by runners, brought on by what they report.

Every change of a state names the state it starts from, so that of several who try the same at once one succeeds, and
a runner that was given up for lost changes nothing any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sql

from ci.errors import CiError
from ci.store.records import Stage, Step
from ci.store.schema import stages, steps
from ci.store.settling import begin_steps_again, end_steps, lock_of, settle
from ci.store.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Holder(NamedTuple):
    """Whose a running Stage is: a runner's, in one attempt. A later attempt of the same runner is another holder."""

    runner: str
    attempt: int


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
            concurrency=stage.concurrency,
            runs_on=stage.runs_on,
            expands=stage.expands,
            outputs={},
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


def replace_by(connection: sql.Connection, stage: Stage, cells: Sequence[Stage], now: float) -> None:
    """Put Stages in the place of one that they come of, in a build that is locked; what depends on it, does on them."""
    for other in outline(connection, stage.build_id):
        if stage.number in other.depends_on:
            needed = [number for number in other.depends_on if number != stage.number]
            needed += [cell.number for cell in cells]
            connection.execute(sql.update(stages).where(stages.c.id == other.id).values(depends_on=needed))
    connection.execute(sql.delete(stages).where(stages.c.id == stage.id))
    for cell in cells:
        add(connection, stage.build_id, cell, State.PENDING, now)


def of_build(connection: sql.Connection, build_id: int) -> tuple[Stage, ...]:
    """A build's Stages with their steps, by number."""
    found = connection.execute(sql.select(stages).where(stages.c.build_id == build_id).order_by(stages.c.number)).all()
    rows = connection.execute(
        sql.select(steps).join(stages).where(stages.c.build_id == build_id).order_by(steps.c.stage_id, steps.c.number)
    ).all()
    return tuple(_stage(row, [step for step in rows if step.stage_id == row.id]) for row in found)


def get(connection: sql.Connection, identifier: int) -> Stage:
    """A Stage by our id, with its steps. Raises CiError."""
    found = find(connection, identifier)
    if found is None:
        raise CiError(f"no Stage with the id {identifier}", reference="no-such-stage")
    return found


def find(connection: sql.Connection, identifier: int) -> Stage | None:
    """The same; None where there is none."""
    row = connection.execute(sql.select(stages).where(stages.c.id == identifier)).one_or_none()
    if row is None:
        return None
    rows = connection.execute(sql.select(steps).where(steps.c.stage_id == identifier).order_by(steps.c.number)).all()
    return _stage(row, rows)


def accept(connection: sql.Connection, stage_id: int, runner: str, now: float) -> bool:
    """Whether the Stage is this runner's from now on; False where another was quicker, or it is not to run (yet, or any
    more).
    """
    build_id = lock_of(connection, stage_id)
    changed = connection.execute(
        sql.update(stages)
        .where(stages.c.id == stage_id, stages.c.state == State.PENDING, stages.c.released > 0)
        .values(state=State.RUNNING, runner=runner, started=now, attempt=stages.c.attempt + 1)
    ).rowcount
    if changed:
        settle(connection, build_id, now)
    return changed == 1


def held(stage_id: int, holder: Holder) -> tuple[sql.ColumnElement[bool], ...]:
    """The row of a Stage that is this holder's: it runs there, in this attempt."""
    return (
        stages.c.id == stage_id,
        stages.c.state == State.RUNNING,
        stages.c.runner == holder.runner,
        stages.c.attempt == holder.attempt,
    )


def give_up(connection: sql.Connection, stage_id: int, holder: Holder, now: float, *, error: str = "") -> bool:
    """A runner is lost: its Stage waits for another, from the beginning, or, with `error`, ends. False where it is not
    that holder's.
    """
    if error:
        return finish(connection, stage_id, holder, State.ERROR, now, error=error)
    build_id = lock_of(connection, stage_id)
    waiting = {"state": State.PENDING, "runner": "", "started": 0.0, "queued": now, "outputs": {}}
    changed = connection.execute(
        sql.update(stages).where(*held(stage_id, holder)).values(**waiting, losses=stages.c.losses + 1)
    ).rowcount
    if changed:
        begin_steps_again(connection, [stage_id])
        settle(connection, build_id, now)
    return changed == 1


def report_step(connection: sql.Connection, stage_id: int, holder: Holder, step: Step) -> bool:
    """Note how a step stands. False where the Stage is not that holder's (any more)."""
    owned = sql.select(stages.c.id).where(*held(stage_id, holder))
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
    connection: sql.Connection,
    stage_id: int,
    holder: Holder,
    state: State,
    now: float,
    *,
    error: str = "",
    outputs: Mapping[str, Mapping[str, str]] | None = None,
) -> bool:
    """A runner says how its Stage ended. False where it is not that holder's (any more)."""
    build_id = lock_of(connection, stage_id)
    changed = connection.execute(
        sql.update(stages)
        .where(*held(stage_id, holder))
        .values(state=state, error=error, finished=now, outputs=outputs or {})
    ).rowcount
    if changed:
        end_steps(connection, [stage_id], now)
        settle(connection, build_id, now)
    return changed == 1


def stop(connection: sql.Connection, build_id: int, now: float) -> tuple[Stage, ...]:
    """The runners of a build, which is locked, are to end what runs: those Stages."""
    running = (stages.c.build_id == build_id, stages.c.state == State.RUNNING)
    connection.execute(sql.update(stages).where(*running, stages.c.cancelled == 0).values(cancelled=now))
    return tuple(one for one in of_build(connection, build_id) if one.state is State.RUNNING)


def of_runner(connection: sql.Connection, runner: str) -> tuple[Stage, ...]:
    """What runs there, without the steps."""
    rows = connection.execute(
        sql.select(stages).where(stages.c.runner == runner, stages.c.state == State.RUNNING).order_by(stages.c.id)
    )
    return tuple(_stage(row, ()) for row in rows)


def stubborn(connection: sql.Connection, before: float) -> tuple[Stage, ...]:
    """What was to end before a time and still runs, without the steps."""
    rows = connection.execute(
        sql.select(stages).where(stages.c.state == State.RUNNING, stages.c.cancelled > 0, stages.c.cancelled < before)
    )
    return tuple(_stage(row, ()) for row in rows)


def end(connection: sql.Connection, stage_id: int, state: State, now: float, *, error: str = "") -> bool:
    """A Stage that is not to run, say since another ended as it did. False where it does not wait (any more)."""
    build_id = lock_of(connection, stage_id)
    changed = connection.execute(
        sql.update(stages)
        .where(stages.c.id == stage_id, stages.c.state == State.PENDING)
        .values(state=state, error=error, finished=now)
    ).rowcount
    if changed:
        end_steps(connection, [stage_id], now)
        settle(connection, build_id, now)
    return changed == 1


class Outline(NamedTuple):
    """What the order of a build's Stages depends on."""

    id: int
    number: int
    name: str
    depends_on: tuple[int, ...]
    state: State
    runs_on: str
    expands: bool
    ready: float


def outline(connection: sql.Connection, build_id: int) -> tuple[Outline, ...]:
    """A build's Stages in short, by number: without what they do, which may be long."""
    columns = [stages.c[name] for name in Outline._fields]
    rows = connection.execute(sql.select(*columns).where(stages.c.build_id == build_id).order_by(stages.c.number))
    return tuple(Outline(*row)._replace(state=State(row.state), depends_on=tuple(row.depends_on)) for row in rows)


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
