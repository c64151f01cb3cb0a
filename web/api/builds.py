"""The API's operations on builds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from ci.access.roles import Role
from ci.pipeline.event import EventKind
from ci.store import builds, stages
from ci.store.records import Filter
from ci.store.states import State
from web.access import gate
from web.api import shapes
from web.api.operation import Operations
from web.deciding import Decision, decide
from web.refusals import ConflictError
from web.services import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.store.records import Build
    from ci.trigger.trigger import Outcome
    from web.services import Services

operations = Operations("builds")
_LARGEST = 2**31 - 1  # number of a build, as the database has them


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Builds that have all that is given. `before` is a build's number: the list goes on below it."""

    branch: str = ""
    event: EventKind | None = None
    state: State | None = None
    author: str = ""
    before: Annotated[int, msgspec.Meta(ge=0, le=_LARGEST)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


@operations.add(
    "GET", "/repos/<path:name>/builds", "Builds, the newest first", query=Wanted, answer=list[shapes.Summary]
)
def list_builds(name: str, query: Wanted) -> list[shapes.Summary]:
    """A part of them, `limit` at most."""
    repository = gate.repository(name)
    wanted = Filter(
        branch=query.branch,
        kind=query.event or "",
        state=query.state or "",
        author=query.author,
        before=query.before,
        limit=query.limit,
    )
    with current().database.read() as connection:
        return [shapes.summary(one) for one in builds.summaries(connection, repository.id, wanted)]


@operations.add("GET", "/repos/<path:name>/builds/<int:number>", "One build", answer=shapes.Build)
def show_build(name: str, number: int) -> shapes.Build:
    """With its Stages and their steps."""
    repository = gate.repository(name)
    with current().database.read() as connection:
        build = builds.find(connection, repository.id, min(number, _LARGEST))
        return shapes.build(build, stages.of_build(connection, build.id))


@operations.add(
    "POST",
    "/repos/<path:name>/builds/<int:number>/<any(cancel, restart, approve, decline):decision>",
    "Cancel a build, begin it again, or let one that waits for it run, or not",
    answer=shapes.Build,
    public=False,
)
def decide_build(name: str, number: int, decision: str) -> shapes.Build:
    """For who has the role write for the repository; 409 where it is too late, or too early."""
    repository = gate.repository(name, Role.WRITE)
    decide(current(), repository, min(number, _LARGEST), Decision(decision), gate.member())
    return show_build(name, number)


class Deployment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to, and what the pipeline is told of it. `rollback`: back to this build's commit."""

    target: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    task: Annotated[str, msgspec.Meta(max_length=200)] = ""
    rollback: bool = False


@operations.add(
    "POST",
    "/repos/<path:name>/builds/<int:number>/again",
    "Make another build of the same event",
    answer=shapes.Build,
    status=201,
    public=False,
)
def repeat_build(name: str, number: int) -> shapes.Build:
    """With a number of its own."""
    return _made(name, number, lambda services, build: services.repeating.again(build.id))


@operations.add(
    "POST",
    "/repos/<path:name>/builds/<int:number>/deploy",
    "Deploy what a build has made, or roll back to it",
    body=Deployment,
    answer=shapes.Build,
    status=201,
    public=False,
)
def deploy_build(name: str, number: int, body: Deployment) -> shapes.Build:
    """A build of the event deployment for the commit of one that has passed."""
    return _made(
        name,
        number,
        lambda services, build: services.repeating.deploy(
            build.id, body.target, task=body.task, rollback=body.rollback
        ),
    )


def _made(name: str, number: int, make: Callable[[Services, Build], Outcome]) -> shapes.Build:
    repository = gate.repository(name, Role.WRITE)
    services = current()
    with services.database.read() as connection:
        build = builds.find(connection, repository.id, min(number, _LARGEST))
    outcome = make(services, build)
    if outcome.build is None:
        raise ConflictError(f"nothing is built: {outcome.reason}")
    return show_build(name, outcome.build.number)
