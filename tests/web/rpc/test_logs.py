"""Logs of runners: taken once, whatever is repeated, asked for where something is missing, finished by the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ci.logs.store import LogKey
from tests.web.rpc.conftest import Caller, build, found
from web import jobs
from web.working import beat

if TYPE_CHECKING:
    from flask import Flask

    from ci.store.records import Stage
    from ci.store.repositories import Repository
    from web.services import Services

ONE = "steps:\n  - {name: test, image: busybox, commands: [echo hello]}\n"


@pytest.fixture
def stage(services: Services, repository: Repository, runner: Caller) -> Stage:
    """One that the runner has accepted."""
    (made,) = found(services, build(services, repository, ONE))
    runner.accept(made)
    return made


def send(
    runner: Caller, stage: Stage, offset: int, data: bytes, *, attempt: int = 1, end: bool = False
) -> tuple[int, Any]:
    """The answer's status and what it says."""
    path = f"/stages/{stage.id}/steps/1/log?attempt={attempt}&offset={offset}{'&end=1' if end else ''}"
    answer = runner.call("POST", path, data=data)
    return answer.status_code, answer.json


def kept(services: Services, stage: Stage, attempt: int = 1) -> tuple[bytes, bool]:
    """The bytes, and whether they are all."""
    with services.logs.open(LogKey(stage.id, attempt, 1)) as reader:
        return reader.read(0, 1 << 20), reader.ended


def test_bytes_are_taken_once(services: Services, runner: Caller, stage: Stage) -> None:
    """Repeats change nothing; where some are missing the answer says from where on."""
    assert send(runner, stage, 0, b"one\n") == (200, {"next": 4})
    assert send(runner, stage, 0, b"one\ntwo\n") == (200, {"next": 8})
    code, said = send(runner, stage, 9, b"four\n")
    assert (code, said["error"]["reference"], said["error"]["next"]) == (409, "gap", 8)
    assert send(runner, stage, 8, b"", end=True) == (200, {"next": 8})
    assert send(runner, stage, 8, b"", end=True) == (200, {"next": 8})
    assert kept(services, stage) == (b"one\ntwo\n", True)


def test_nobody_writes_in_anothers_log(services: Services, runner: Caller, other: Caller, stage: Stage) -> None:
    """Not another runner, not another attempt, not in a step that is not there."""
    for caller, attempt in ((other, 1), (runner, 2)):
        code, said = send(caller, stage, 0, b"x", attempt=attempt)
        assert (code, said["error"]["reference"]) == (410, "not-yours")
    assert runner.call("POST", f"/stages/{stage.id}/steps/9/log?attempt=1&offset=0", data=b"x").status_code == 404
    assert runner.call("POST", f"/stages/{stage.id}/steps/1/log?attempt=1", data=b"x").status_code == 400


def test_a_call_has_a_limit(runner: Caller, stage: Stage) -> None:
    """4 MiB are taken, and not a byte more."""
    assert send(runner, stage, 0, b"x" * (4 << 20))[0] == 200
    assert send(runner, stage, 4 << 20, b"x" * ((4 << 20) + 1))[0] == 413


@pytest.mark.parametrize("said", ["100.5", "", "nonsense", "nan", "1e300"])
def test_times_are_the_runners_unless_its_clock_is_wrong(
    services: Services, runner: Caller, stage: Stage, said: str
) -> None:
    """Bytes that waited on the runner's disk were printed earlier than they come."""
    now = services.clock()
    headers = {"Authorization": f"Bearer {runner.token}", "Hako-Time": said or str(now - 100)}
    path = f"/rpc/v1/stages/{stage.id}/steps/1/log?attempt=1&offset=0"
    assert runner.client.post(path, data=b"x", headers=headers).status_code == 200
    with services.logs.open(LogKey(stage.id, 1, 1)) as reader:
        assert reader.time_of(0) == pytest.approx(now if said else now - 100, abs=60)


def test_the_logs_of_a_stage_that_is_over_are_finished(
    app: Flask, services: Services, runner: Caller, stage: Stage
) -> None:
    """Also one whose end the runner has not sent; a follower is not left waiting."""
    send(runner, stage, 0, b"hello\n")
    assert runner.finish(stage).status_code == 200
    assert f"finish_logs-{stage.id}" in services.events.queue.job_ids
    with app.app_context():
        jobs.finish_logs(stage.id)
    assert kept(services, stage) == (b"hello\n", True)
    assert list(services.logs.growing()) == []


def test_what_the_queue_has_lost_is_finished_all_the_same(
    app: Flask, services: Services, runner: Caller, stage: Stage
) -> None:
    """The beat looks after logs of attempts that are over; those that grow are left alone."""
    send(runner, stage, 0, b"lost")
    with app.app_context():
        beat(services, repair=True)
        assert services.events.queue.job_ids == []
        assert runner.call("POST", "/hello", {"resumed": []}).status_code == 200
        runner.accept(stage)
        send(runner, stage, 0, b"second", attempt=2)
        beat(services, repair=True)
        assert services.events.queue.job_ids == [f"finish_logs-{stage.id}"]
        jobs.finish_logs(stage.id)
    assert kept(services, stage) == (b"lost", True)
    assert kept(services, stage, 2) == (b"second", False)
