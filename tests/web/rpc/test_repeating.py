"""Builds that are begun again, made once more, deployed: and never around an approval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.errors import CiError
from ci.pipeline.event import EventKind
from ci.store import builds
from ci.store.states import State
from tests.web.pushing import PIPELINE, Forge
from tests.web.rpc.conftest import Caller, build, found
from tests.web.rpc.test_stages import ONE, THREE

if TYPE_CHECKING:
    from pathlib import Path

    from ci.store.records import Build
    from ci.store.repositories import Repository
    from web.services import Services

FORK = {"kind": EventKind.PULL_REQUEST, "fork": True, "pull_request": 3, "sender_id": "9"}


def _now(services: Services, made: Build) -> Build:
    with services.database.read() as connection:
        return builds.get(connection, made.id)


def test_a_build_begins_again(services: Services, repository: Repository, runner: Caller) -> None:
    """Whole, or what failed with all that depends on it; each Stage in a new attempt."""
    made = build(services, repository, THREE)
    first, second, third = found(services, made)
    runner.accept(first)
    with pytest.raises(CiError, match="is running"):
        services.repeating.restart(made.id)
    runner.finish(first, "failure")
    runner.accept(third)
    runner.finish(third)
    assert _now(services, made).state is State.FAILURE
    services.repeating.restart(made.id, failed=True)
    assert [stage.state for stage in found(services, made)] == [State.PENDING] * 3
    assert runner.accept(first)["stage"]["attempt"] == 2
    runner.finish(first, attempt=2)
    runner.accept(second)
    runner.finish(second)
    assert _now(services, made).state is State.SUCCESS
    services.repeating.restart(made.id, numbers=[2])
    assert [stage.state for stage in found(services, made)] == [State.SUCCESS, State.PENDING, State.SKIPPED]
    with pytest.raises(CiError, match="has no Stage 9"):
        services.repeating.restart(made.id, numbers=[9])


def test_no_restart_goes_around_an_approval(services: Services, repository: Repository, runner: Caller) -> None:
    """Not of one that was cancelled while it waited, nor of one that was declined; the approved one begins again."""
    made = build(services, repository, ONE, blocked=True, **FORK)
    (stage,) = found(services, made)
    assert runner.call("POST", f"/stages/{stage.id}/accept", {}).status_code == 409
    with pytest.raises(CiError, match="is blocked"):
        services.repeating.restart(made.id)
    services.dispatcher.cancel(made.id, "octo")
    assert _now(services, made).state is State.KILLED
    services.repeating.restart(made.id)
    assert _now(services, made).state is State.BLOCKED
    assert runner.call("POST", f"/stages/{stage.id}/accept", {}).status_code == 409
    assert services.dispatcher.approve(made.id, "maintainer")
    runner.accept(stage)
    runner.finish(stage, "failure")
    services.repeating.restart(made.id)
    assert _now(services, made).state is State.PENDING
    declined = build(services, repository, ONE, blocked=True, **FORK)
    with services.database.write() as connection:
        builds.decline(connection, declined.id, "maintainer", 5.0)
    with pytest.raises(CiError, match="is declined"):
        services.repeating.restart(declined.id)


def test_another_build_of_the_same(services: Services, runner: Caller, tmp_path: Path) -> None:
    """Has a number of its own and tells whose it is; a deployment is of a build that has passed."""
    forge = Forge(services, tmp_path)
    commit = forge.origin.commit("One", DOTciDOTyml=PIPELINE)
    made = build(services, forge.repository, PIPELINE, commit=commit)
    second = services.repeating.again(made.id).build
    assert second is not None
    assert (second.number, second.parent, second.event.commit) == (2, 1, commit)
    assert _now(services, made).state is State.PENDING  # it is not made idle
    with pytest.raises(CiError, match="not success"):
        services.repeating.deploy(second.id, "production")
    (stage,) = found(services, second)
    runner.accept(stage)
    runner.finish(stage)
    third = services.repeating.deploy(second.id, "production", rollback=True).build
    assert third is not None
    assert (third.parent, third.event.kind, third.event.deploy_target) == (2, EventKind.ROLLBACK, "production")
