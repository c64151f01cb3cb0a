"""Stages at their runners: accepted by one, reported, finished, lost, cancelled."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING

import pytest
import redis

from ci.dispatch.dispatcher import CHANNEL
from ci.secrets.choosing import Secret
from ci.store import builds, reports, secrets
from ci.store.secrets import Scope
from ci.store.states import State
from tests.web.rpc.conftest import Caller, build, found

if TYPE_CHECKING:
    from flask import Flask

    from ci.store.repositories import Repository
    from web.services import Services

ONE = """\
steps:
  - name: test
    image: busybox
    environment: {TOKEN: {from_secret: token}}
    commands: [echo hello]
"""
THREE = """\
name: first
steps:
  - {name: a, image: busybox, commands: ["true"]}
---
name: second
depends_on: [first]
steps:
  - {name: a, image: busybox, commands: ["true"]}
---
name: after-failures
depends_on: [first]
when: [{status: [failure]}]
steps:
  - {name: a, image: busybox, commands: ["true"]}
"""


def test_only_runners_call(services: Services, runner: Caller, app: Flask) -> None:
    """Not without a token, nor with one that is none, nor that of one who was sent away."""
    client = app.test_client()
    for header in ("", "Bearer nonsense", "Basic eDp5", f"Bearer {runner.token}x"):
        response = client.post("/rpc/v1/heartbeat", json={}, headers={"Authorization": header})
        assert response.status_code == 401
    assert runner.call("POST", "/heartbeat", {}).status_code == 200
    with services.database.write() as connection:
        from ci.store import runners  # noqa: PLC0415

        runners.remove(connection, "r1")
    assert runner.call("POST", "/heartbeat", {}).status_code == 401


def test_a_stage_is_run(services: Services, repository: Repository, runner: Caller) -> None:
    """What it is told suffices to run it; its reports are those of the build; to repeat a call changes nothing."""
    with services.database.write() as connection:
        for name, value in (("token", "s3cret"), ("unused", "other")):
            secrets.put(connection, services.keyring, Scope(repository=repository), Secret(name=name, value=value), 1.0)
    made = build(services, repository, ONE)
    (stage,) = found(services, made)
    told = runner.accept(stage)
    assert told == runner.accept(stage)
    assert told["secrets"] == {"token": "s3cret"}
    assert (told["stage"]["attempt"], told["stage"]["spec"]["name"]) == (1, stage.spec["name"])
    assert told["build"] == {"id": made.id, "number": 1}
    assert told["remote"] == {"url": "https://git.example/x.git", "header": ""}
    report = {"attempt": 1, "state": "success", "exit_code": 0, "started": 5.0, "finished": 6.0}
    assert runner.call("POST", f"/stages/{stage.id}/steps/2", report).json == {}
    for _ in range(2):
        assert runner.finish(stage).json == {}
    with services.database.read() as connection:
        assert builds.get(connection, made.id).state is State.SUCCESS
    step = found(services, made)[0].steps[1]
    assert (step.state, step.exit_code, step.started, step.finished) == (State.SUCCESS, 0, 5.0, 6.0)


def test_one_runner_wins(services: Services, repository: Repository, app: Flask) -> None:
    """Of eight that ask at once."""
    (stage,) = found(services, build(services, repository, ONE))
    callers = [Caller(app.test_client(), services, f"n{number}") for number in range(8)]
    answers: list[int] = []

    def ask(caller: Caller) -> None:
        answers.append(caller.call("POST", f"/stages/{stage.id}/accept", {}).status_code)

    threads = [threading.Thread(target=ask, args=(caller,)) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [409] * 7


def test_another_runners_stage(services: Services, repository: Repository, runner: Caller, other: Caller) -> None:
    """A token opens its own Stages: neither reports nor files of others."""
    (stage,) = found(services, build(services, repository, ONE))
    assert other.finish(stage).status_code == 410
    runner.accept(stage)
    calls = (
        other.finish(stage),
        runner.finish(stage, attempt=2),
        other.call("POST", f"/stages/{stage.id}/steps/1", {"attempt": 1, "state": "success"}),
        other.call("PUT", f"/stages/{stage.id}/artifacts/x?attempt=1", data=b"x"),
        other.call("GET", f"/stages/{stage.id}/artifacts"),
        other.call("PUT", f"/stages/{stage.id}/steps/1/tests?attempt=1", {}),
    )
    assert [(one.status_code, one.json["error"]["reference"]) for one in calls] == [(410, "not-yours")] * len(calls)  # type: ignore[index]
    assert other.call("POST", f"/stages/{stage.id}/accept", {}).json["error"]["reference"] == "taken"  # type: ignore[index]
    assert runner.finish(stage, "failure").status_code == 200
    assert other.call("POST", f"/stages/{stage.id}/accept", {}).json["error"]["reference"] == "over"  # type: ignore[index]


def test_stages_follow_each_other(services: Services, repository: Repository, runner: Caller) -> None:
    """Those after a Stage begin when it has ended, as it ended; outputs are handed on."""
    for state, expected in (("success", ["pending", "skipped"]), ("failure", ["skipped", "pending"])):
        made = build(services, repository, THREE)
        first, second, third = found(services, made)
        refused = runner.call("POST", f"/stages/{second.id}/accept", {})
        assert (refused.status_code, refused.json["error"]["reference"]) == (409, "not-ready")  # type: ignore[index]
        runner.accept(first)
        assert runner.finish(first, state, outputs={"a": {"version": "1.2"}}).status_code == 200
        assert [stage.state for stage in found(services, made)[1:]] == expected
        told = runner.accept(second if state == "success" else third)
        assert told["outputs"] == {"first/a": {"version": "1.2"}}
        runner.finish(second if state == "success" else third)


def test_a_runner_is_lost(services: Services, repository: Repository, runner: Caller, other: Caller) -> None:
    """Its Stage waits for another; what the lost one says is not heard; after the third loss the Stage has failed."""
    made = build(services, repository, ONE)
    (stage,) = found(services, made)
    for number in range(1, 4):
        assert runner.accept(stage)["stage"]["attempt"] == number
        services.dispatcher.repair(lost_after=3600)
        assert found(services, made)[0].state is State.RUNNING
        services.dispatcher.repair(lost_after=-1)
        assert runner.finish(stage, attempt=number).status_code == 410 or number == 3
    (stage,) = found(services, made)
    assert (stage.state, stage.error) == (State.ERROR, "the runner r1 was lost, for the 3. time")


def test_a_runner_was_restarted(services: Services, repository: Repository, runner: Caller) -> None:
    """What it does not have any more waits once again, and is queued; the rest goes on."""
    first, second = (found(services, build(services, repository, ONE))[0] for _ in range(2))
    for stage in (first, second):
        runner.accept(stage)
    assert runner.call("POST", "/hello", {"labels": {}, "resumed": [first.id]}).status_code == 200
    said = runner.call("POST", "/heartbeat", {"stages": [first.id, second.id]}).json
    assert said == {"cancel": [], "gone": [second.id]}
    assert runner.accept(second)["stage"]["attempt"] == 2


def test_cancelling(services: Services, repository: Repository, runner: Caller) -> None:
    """Runners hear of it at once, and by their heartbeats; the build is killed when they are done."""
    made = build(services, repository, THREE)
    first = found(services, made)[0]
    runner.accept(first)
    listener = redis.Redis.from_url(services.valkey.url).pubsub()  # type: ignore[no-untyped-call, union-attr]
    listener.subscribe(CHANNEL)
    assert listener.get_message(timeout=5)
    services.dispatcher.cancel(made.id, "octo")
    heard = listener.get_message(timeout=5)
    listener.close()
    assert heard is not None
    assert heard["data"] == str(first.id).encode()
    assert runner.call("POST", "/heartbeat", {"stages": [first.id]}).json == {"cancel": [first.id], "gone": []}
    runner.finish(first, "failure")
    assert [stage.state for stage in found(services, made)] == [State.KILLED] * 3
    with services.database.read() as connection:
        assert builds.get(connection, made.id).state is State.KILLED


def test_files_and_reports(services: Services, repository: Repository, runner: Caller) -> None:
    """What a Stage has left is fetched by those after it, byte by byte; a path is no path of the server's."""
    made = build(services, repository, THREE)
    first, second, _ = found(services, made)
    runner.accept(first)
    data = b"\0\xff" * 700_000
    put = runner.call("PUT", f"/stages/{first.id}/artifacts/out/a%20b.bin?attempt=1", data=io.BytesIO(data))
    assert put.status_code == 200, put.json
    for path in ("../x", "out/../../x", "a//b"):
        refused = runner.call("PUT", f"/stages/{first.id}/artifacts/{path}?attempt=1", data=b"x")
        assert refused.status_code in (400, 404, 308)
    report = {"passed": 3, "failed": []}
    assert runner.call("PUT", f"/stages/{first.id}/steps/1/tests?attempt=1", report).status_code == 200
    assert runner.call("PUT", f"/stages/{first.id}/steps/99/tests?attempt=1", report).status_code == 404
    with services.database.read() as connection:
        assert reports.of_stage(connection, first.id, 1) == {1: report}
    runner.finish(first)
    assert runner.accept(second)["artifacts"] == [first.id]
    (listed,) = runner.call("GET", f"/stages/{first.id}/artifacts").json  # type: ignore[misc]
    assert (listed["path"], listed["size"]) == ("out/a b.bin", len(data))
    assert runner.call("GET", f"/stages/{first.id}/artifacts/out/a%20b.bin").data == data


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/hello", []),
        ("/hello", {"labels": 3}),
        ("/heartbeat", {"stages": ["x"]}),
        ("/stages/1/finish", {}),
        ("/stages/1/finish", {"attempt": 1, "state": "nonsense"}),
        ("/stages/1/steps/1", {"attempt": "x", "state": "success"}),
    ],
)
def test_messages_that_are_none(runner: Caller, path: str, document: object) -> None:
    """They are refused in one line."""
    response = runner.call("POST", path, document)
    assert response.status_code == 400
    assert response.json is not None
    assert "\n" not in response.json["error"]["message"]


def test_concurrency(services: Services, repository: Repository, runner: Caller) -> None:
    """As many Stages of a name run at once as the pipeline says, over all builds; the older first."""
    text = "concurrency: 1\n" + ONE
    first, second = (build(services, repository, text) for _ in range(2))
    (one,), (two,) = found(services, first), found(services, second)
    assert runner.call("POST", f"/stages/{two.id}/accept", {}).status_code == 409
    runner.accept(one)
    assert runner.call("POST", f"/stages/{two.id}/accept", {}).status_code == 409
    runner.finish(one)
    runner.accept(two)
