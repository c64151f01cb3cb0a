"""A Stage at its runner: accepted, its steps reported, finished."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask import jsonify

from ci.dispatch import assigning
from ci.dispatch.assigning import Refused
from ci.store import stages
from ci.store.records import Step
from ci.store.states import State
from web.refusals import ConflictError
from web.rpc.calling import blueprint, caller, holder, message, not_yours, shown
from web.services import current

if TYPE_CHECKING:
    from flask import Response


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """How a step stands. Times are seconds since 1970."""

    attempt: int
    state: State
    exit_code: int | None = None
    error: str = ""
    started: float = 0.0
    finished: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """How a Stage ended. `outputs`: of its steps, by the steps' names."""

    attempt: int
    state: State
    error: str = ""
    started: float = 0.0
    finished: float = 0.0
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@blueprint.post("/stages/<int:stage_id>/accept")
def accept(stage_id: int) -> Response:
    """Of all that ask one gets it, with its secrets; asking again, it gets the same."""
    runner, services = caller(), current()
    with services.database.write() as connection:
        found = assigning.accept(connection, stage_id, runner.name, runner.labels, services.clock())
    if isinstance(found, Refused):
        raise ConflictError(found.message, reference=found.reference)
    with services.database.read() as connection:
        return jsonify(assigning.assignment(connection, services.keyring, found))


@blueprint.post("/stages/<int:stage_id>/steps/<int:number>")
def report_step(stage_id: int, number: int) -> Response:
    """Note how a step stands."""
    said, services = message(StepReport), current()
    step = Step(
        number=number,
        name="",
        state=said.state,
        exit_code=said.exit_code,
        error=shown(said.error),
        started=said.started,
        finished=said.finished,
    )
    with services.database.write() as connection:
        if not stages.report_step(connection, stage_id, holder(said.attempt), step):
            raise not_yours(stage_id)
    return jsonify({})


@blueprint.post("/stages/<int:stage_id>/finish")
def finish(stage_id: int) -> Response:
    """Note how it ended, and let others begin."""
    said, services = message(Finish), current()
    if not said.state.over:
        raise ConflictError(f"a Stage does not end as {said.state}", reference="not-over")
    finished = services.dispatcher.finish(
        stage_id, holder(said.attempt), said.state, error=shown(said.error), outputs=said.outputs
    )
    if not finished:
        raise not_yours(stage_id)
    services.events.put("finish_logs", stage_id)
    return jsonify({})
