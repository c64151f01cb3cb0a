"""Stages in the queues of a real Valkey."""

from __future__ import annotations

import dataclasses
import signal
import threading
from typing import TYPE_CHECKING

import pytest
import redis
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from ci.errors import CiError
from ci.queue import queues
from ci.queue.queues import Queues
from ci.store.releasing import Released
from tests.ci.queue import recording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ci.queue.embedded import EmbeddedValkey

STAGE = Released(id=5, build_id=2, number=1, name="test", labels={}, attempt=0, priority=0)


@pytest.fixture
def connection(valkey: EmbeddedValkey) -> Iterator[redis.Redis]:
    """A connection to it."""
    with redis.Redis.from_url(valkey.url) as found:
        yield found


def test_a_stage_is_queued_once(connection: redis.Redis) -> None:
    """However often it is put; each attempt is a job of its own."""
    found = Queues(connection)
    threads = [threading.Thread(target=found.put, args=(STAGE,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.put(STAGE)
    assert found.lengths() == {"stages:0:": 1}
    assert found.put(dataclasses.replace(STAGE, attempt=1)) == "stage-5-1"
    assert found.lengths() == {"stages:0:": 2}


def test_a_job_is_an_id_as_json(connection: redis.Redis) -> None:
    """No pickle, no secret, no code: the runner asks the server for the rest."""
    Queues(connection).put(STAGE)
    (job,) = Queue("stages:0:", connection=connection, serializer=JSONSerializer).jobs
    assert (job.func_name, job.args) == ("runners.worker.run_stage", [5])
    stored = {key: connection.hgetall(key) for key in connection.keys("rq:job:*")}
    assert "stage-5-0" in str(stored)


def test_runners_listen_where_their_labels_fit(connection: redis.Redis) -> None:
    """The most urgent first; one with more labels takes what asks for fewer."""
    found = Queues(connection)
    arm, gpu = {"arch": "arm"}, {"arch": "arm", "gpu": "yes"}
    for number, (labels, priority) in enumerate((({}, 0), (arm, 0), (gpu, 5), ({"arch": "x86"}, 9), ({}, -1)), 1):
        found.put(dataclasses.replace(STAGE, id=number, labels=labels, priority=priority))
    assert found.fitting({}) == ("stages:0:", "stages:-1:")
    assert found.fitting(arm) == ("stages:0:", "stages:0:arch=arm", "stages:-1:")
    assert found.fitting({"arch": "*", "gpu": "yes"}) == (
        "stages:9:arch=x86",
        "stages:5:arch=arm,gpu=yes",
        "stages:0:",
        "stages:0:arch=arm",
        "stages:-1:",
    )


def test_a_stage_is_taken_out(connection: redis.Redis) -> None:
    """Once; then no worker gets it."""
    found = Queues(connection)
    found.put(STAGE)
    assert found.take_out(STAGE)
    assert not found.take_out(STAGE)
    assert found.lengths() == {}


def test_what_a_queue_has_lost_is_found(connection: redis.Redis) -> None:
    """And put again."""
    found = Queues(connection)
    others = [dataclasses.replace(STAGE, id=number) for number in (6, 7)]
    for stage in (STAGE, *others):
        found.put(stage)
    connection.delete("rq:job:stage-6-0")
    (lost,) = found.missing([STAGE, *others])
    assert lost.id == 6
    found.put(lost)
    assert found.missing([STAGE, *others]) == ()


def test_a_worker_takes_jobs_from_the_queues(connection: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """RQ's own, in the order of urgency."""
    monkeypatch.setattr(queues, "FUNCTION", "tests.ci.queue.recording.run_stage")
    found = Queues(connection)
    for number, priority in ((1, 0), (2, 5)):
        found.put(dataclasses.replace(STAGE, id=number, priority=priority))
    recording.RAN.clear()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        SimpleWorker(found.fitting({}), connection=connection, serializer=JSONSerializer).work(burst=True)
    finally:
        for number, handler in handlers.items():  # which a worker makes its own
            signal.signal(number, handler)
    assert recording.RAN == [2, 1]
    assert found.lengths() == {}


@pytest.mark.parametrize("labels", [{"a": "b:c"}, {"a,b": "c"}, {"a": ""}, {"a": "x=y"}])
def test_labels_that_are_none(labels: dict[str, str]) -> None:
    """What would make a queue's name ambiguous is refused."""
    with pytest.raises(CiError, match="cannot be a label"):
        queues.name(labels)
