"""Which log a request means, and whether who asks may read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from flask import Blueprint, request

from ci.errors import CiError
from ci.logs.store import LogKey
from ci.store import builds, stages
from web.access import gate
from web.refusals import NotFoundError, Refusal
from web.services import current

if TYPE_CHECKING:
    from ci.store.records import Build, Stage, Step
    from ci.store.repositories import Repository

blueprint = Blueprint("logs", __name__)
ADDRESS = "/<path:name>/<int:number>/<int:stage_number>/<int:step_number>"
_DIGITS = 18  # of a number in a query


class Chosen(NamedTuple):
    """A step with all that it belongs to, and its log's key."""

    repository: Repository
    build: Build
    stage: Stage
    step: Step
    key: LogKey


def choose(name: str, number: int, stage_number: int, step_number: int) -> Chosen:
    """Of the last attempt, unless the query names one. Raises NotFoundError."""
    repository = gate.repository(name)
    with current().database.read() as connection:
        try:
            build = builds.find(connection, repository.id, number)
        except CiError:
            raise NotFoundError(f"{name} has no build {number}") from None
        for stage in stages.of_build(connection, build.id):
            for step in stage.steps:
                if (stage.number, step.number) == (stage_number, step_number):
                    attempt = query("attempt", max(1, stage.attempt))
                    return Chosen(repository, build, stage, step, LogKey(stage.id, attempt, step.number))
    raise NotFoundError(f"build {number} has no step {stage_number}/{step_number}")


def query(name: str, default: int) -> int:
    """A number that is not negative. Raises Refusal."""
    text = request.args.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > _DIGITS:
        raise Refusal(f"{name} is no number", reference="bad-request")
    return int(text)
