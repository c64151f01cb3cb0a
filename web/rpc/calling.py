"""What all calls of runners have in common: who calls, what he says, whether the Stage is his."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from flask import Blueprint, g, request

from ci.pipeline.wire import from_document
from ci.store import runners, stages
from ci.store.stages import Holder
from ci.store.states import State
from web.refusals import GoneError, Refusal, UnauthorizedError
from web.services import current

if TYPE_CHECKING:
    from ci.store.records import Stage
    from ci.store.runners import Runner

blueprint = Blueprint("rpc", __name__, url_prefix="/rpc/v1")
T = TypeVar("T")
_LONGEST_TEXT = 4000  # characters of what a runner says of an error


@blueprint.before_request
def authenticate() -> None:
    """Only a runner's token opens any of it."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer" and token:
        with current().database.read() as connection:
            found = runners.by_token(connection, token.strip())
        if found is not None:
            g.runner = found
            return
    raise UnauthorizedError("this is no token of a runner", hint="`ci-run node add NAME` makes one")


def caller() -> Runner:
    """Who calls."""
    found: Runner = g.runner
    return found


def message(kind: type[T]) -> T:
    """What he says. Raises CiError for what is no such message."""
    document = request.get_json(force=True)
    if not isinstance(document, dict):
        raise Refusal("the message is no object", reference="bad-request")
    return from_document(kind, document)


def attempt() -> int:
    """Which attempt at the Stage he means. Raises Refusal."""
    text = request.args.get("attempt", "")
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise Refusal("the attempt is missing", reference="bad-request")
    return int(text)


def holder(attempt: int) -> Holder:
    """The caller in an attempt at a Stage."""
    return Holder(caller().name, attempt)


def held(stage_id: int, attempt: int) -> Stage:
    """The caller's Stage, which runs. Raises GoneError where it is not his, or not any more."""
    with current().database.read() as connection:
        found = stages.find(connection, stage_id)
    if found is None or found.state is not State.RUNNING or (found.runner, found.attempt) != holder(attempt):
        raise not_yours(stage_id)
    return found


def not_yours(stage_id: int) -> GoneError:
    """The answer upon which a runner ends a Stage at once."""
    return GoneError(f"Stage {stage_id} is not this runner's", reference="not-yours")


def shown(text: str) -> str:
    """What a runner says of an error, as the database takes it."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:_LONGEST_TEXT]
