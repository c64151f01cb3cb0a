"""Stages in RQ's queues: a queue for each set of labels and each priority, a job for each attempt at a Stage.

A job is the Stage's id and nothing else, as JSON: what it is to do, and with which secrets, a runner is told by the
server when it accepts it. A job's own id follows from the Stage and the attempt, so that to queue the same again
changes nothing. The server's tables are the truth; `missing` finds what a queue has lost.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from ci.errors import CiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import redis

    from ci.store.releasing import Released

FUNCTION = "runners.worker.run_stage"  # by its name: the server has no runner's code
_PREFIX = "stages"
_LOWEST, _HIGHEST = -9, 9
_WAITING = (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.DEFERRED, JobStatus.SCHEDULED)
_UNSAFE = frozenset(":,=\0\n")
_KEPT = 3600  # seconds that RQ remembers an ended job


class Queues:
    """All queues of one Redis."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection

    def put(self, stage: Released) -> str:
        """Queue a Stage for the runners that its labels fit; the job's id. Again is as once."""
        identifier = job_id(stage)
        queue = Queue(name(stage.labels, stage.priority), connection=self._connection, serializer=JSONSerializer)
        former = self._job(identifier)
        if former is not None and former.get_status() not in _WAITING:
            former.delete()
        with suppress(DuplicateJobError):
            queue.enqueue_call(
                FUNCTION,
                args=(stage.id,),
                job_id=identifier,
                unique=True,
                timeout=-1,  # the Stage's own limits are its runner's affair
                result_ttl=_KEPT,
                failure_ttl=_KEPT,
                description=f"Stage {stage.number} {stage.name!r} of build {stage.build_id}",
            )
        return identifier

    def take_out(self, stage: Released) -> bool:
        """A Stage that waits is not to run any more; whether it waited."""
        job = self._job(job_id(stage))
        if job is None or job.get_status() != JobStatus.QUEUED:
            return False
        job.cancel()
        return True

    def missing(self, stages: Sequence[Released]) -> tuple[Released, ...]:
        """Those of the Stages, which should wait, that no queue has: the loss of a power cut."""
        jobs = Job.fetch_many(
            [job_id(stage) for stage in stages], connection=self._connection, serializer=JSONSerializer
        )
        return tuple(
            stage
            for stage, job in zip(stages, jobs, strict=True)
            if job is None or job.get_status(refresh=False) not in _WAITING
        )

    def fitting(self, labels: Mapping[str, str]) -> tuple[str, ...]:
        """The queues that a runner with these labels listens on, the most urgent first."""
        known = [queue.name for queue in Queue.all(connection=self._connection, serializer=JSONSerializer)]
        mine = [(priority, one) for one in known if (priority := _priority(one)) is not None and _fits(one, labels)]
        return tuple(one for _, one in sorted(mine, key=lambda pair: (-pair[0], pair[1])))

    def lengths(self) -> dict[str, int]:
        """How many jobs wait in each queue that has any."""
        queues = Queue.all(connection=self._connection, serializer=JSONSerializer)
        return {one.name: count for one in queues if _priority(one.name) is not None and (count := one.count)}

    def _job(self, identifier: str) -> Job | None:
        return Job.fetch_many([identifier], connection=self._connection, serializer=JSONSerializer)[0]


def job_id(stage: Released) -> str:
    """Of an attempt at a Stage."""
    return f"stage-{stage.id}-{stage.attempt}"


def name(labels: Mapping[str, str], priority: int = 0) -> str:
    """The queue for Stages with these labels. Raises CiError for a label that cannot be part of a name."""
    for word in (*labels, *labels.values()):
        if not word or not _UNSAFE.isdisjoint(word):
            raise CiError(f"{word!r} cannot be a label or its value", hint="use no : , =", reference="bad-label")
    urgency = max(_LOWEST, min(_HIGHEST, priority))
    return f"{_PREFIX}:{urgency}:{','.join(f'{key}={value}' for key, value in sorted(labels.items()))}"


def _priority(queue: str) -> int | None:
    prefix, _, rest = queue.partition(":")
    urgency = rest.partition(":")[0]
    return int(urgency) if prefix == _PREFIX and urgency.removeprefix("-").isdecimal() else None


def _fits(queue: str, labels: Mapping[str, str]) -> bool:
    """Whether a runner has all labels of a queue; `*` as its value stands for any."""
    wanted = queue.split(":", 2)[2]
    pairs = [pair.partition("=") for pair in wanted.split(",") if pair]
    return all(labels.get(key) in (value, "*") for key, _, value in pairs)
