"""The next Stages of a build: in one transaction, by the same decision as `ci-run local` takes (`following`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline.following import Waiting, follow
from ci.store import releasing, stages
from ci.store.settling import lock
from ci.store.states import State

if TYPE_CHECKING:
    import sqlalchemy as sql

    from ci.store.stages import Outline

_FAILED = frozenset({State.FAILURE, State.ERROR, State.KILLED, State.DECLINED})


def advance(connection: sql.Connection, build_id: int, now: float) -> tuple[int, ...]:
    """Skip what will not run, note what waits for no other Stage any more.

    Returns ids of Stages whose cells can be made now. To ask again changes nothing.
    """
    lock(connection, build_id)
    while True:
        found = stages.outline(connection, build_id)
        by_number = {one.number: one for one in found}
        following = follow(
            [_waiting(one, by_number) for one in found if one.state is State.PENDING and not one.ready],
            {one.number for one in found if one.state.over},
            {one.number for one in found if one.state in _FAILED},
        )
        for number, reason in following.skip:
            stages.end(connection, by_number[number].id, State.SKIPPED, now, error=reason)
        if not following.skip:
            break
    ready = [by_number[number] for number in following.start]
    releasing.mark_ready(connection, [one.id for one in ready if not one.expands], now)
    return tuple(one.id for one in ready if one.expands)


def _waiting(stage: Outline, by_number: dict[int, Outline]) -> Waiting:
    return Waiting(
        number=stage.number,
        needs={number: by_number[number].name for number in stage.depends_on},
        run_on_success=stage.runs_on != "failure",
        run_on_failure=stage.runs_on != "success",
    )
