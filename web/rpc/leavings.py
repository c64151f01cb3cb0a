"""What a Stage leaves: artifacts, which later Stages of its build may fetch, and what its reports of tests say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Response, jsonify, request

from ci.store import artifacts, reports, stages
from web.refusals import NotFoundError, Refusal
from web.rpc.calling import attempt, blueprint, caller, held, not_yours
from web.services import current

if TYPE_CHECKING:
    from ci.store.records import Stage

_LARGEST_ARTIFACT = 16 << 30  # bytes
_LARGEST_REPORT = 16 << 20


@blueprint.put("/stages/<int:stage_id>/artifacts/<path:path>")
def put_artifact(stage_id: int, path: str) -> Response:
    """Keep a file, as long as it is."""
    services, stage = current(), held(stage_id, attempt())
    request.max_content_length = _LARGEST_ARTIFACT
    made = services.artifacts.write(
        stage.id, stage.attempt, path, request.stream, limit=_LARGEST_ARTIFACT, now=services.clock()
    )
    with services.database.write() as connection:
        artifacts.put(connection, made)
    return jsonify(size=made.size, digest=made.digest)


@blueprint.get("/stages/<int:stage_id>/artifacts")
def list_artifacts(stage_id: int) -> Response:
    """What a Stage of the caller's build has left."""
    stage = _neighbour(stage_id)
    with current().database.read() as connection:
        found = artifacts.listed(connection, stage.id, stage.attempt)
    return jsonify([{"path": one.path, "size": one.size, "digest": one.digest} for one in found])


@blueprint.get("/stages/<int:stage_id>/artifacts/<path:path>")
def get_artifact(stage_id: int, path: str) -> Response:
    """The bytes of one of them."""
    services, stage = current(), _neighbour(stage_id)
    with services.database.read() as connection:
        found = artifacts.find(connection, stage.id, stage.attempt, path)
    if found is None:
        raise NotFoundError(f"the Stage has no artifact {path}")
    return Response(
        services.artifacts.chunks(found),
        mimetype="application/octet-stream",
        headers={"Content-Length": str(found.size)},
    )


@blueprint.put("/stages/<int:stage_id>/steps/<int:number>/tests")
def put_tests(stage_id: int, number: int) -> Response:
    """What the reports of a step say."""
    if (request.content_length or 0) > _LARGEST_REPORT:
        raise Refusal("the report is too large", reference="too-large")
    stage = held(stage_id, attempt())
    if all(step.number != number for step in stage.steps):
        raise NotFoundError(f"the Stage has no step {number}")
    with current().database.write() as connection:
        reports.put(connection, stage.id, stage.attempt, number, request.get_json(force=True))
    return jsonify({})


def _neighbour(stage_id: int) -> Stage:
    """A Stage of a build of which the caller has one: nobody else's files are a runner's to read."""
    with current().database.read() as connection:
        found = stages.find(connection, stage_id)
        mine = {stage.build_id for stage in stages.of_runner(connection, caller().name)}
    if found is None or found.build_id not in mine:
        raise not_yours(stage_id)
    return found
