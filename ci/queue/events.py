"""The queue of what the server's own worker does: deliveries, cells of a matrix, schedules, statuses.

A job is a function of `web.jobs` by its name and ids, as JSON. The tables say what there is to do: a job that is lost
is queued again by the beat, and one that comes twice does nothing the second time.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

if TYPE_CHECKING:
    import redis

NAME = "events"
_LONGEST = 1800  # seconds that a job may take: a first fetch of a large repository
_KEPT = 600  # seconds that RQ remembers an ended job
_OVER = (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED)


class Events:
    """That queue of one Redis."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection
        self._queue = Queue(NAME, connection=connection, serializer=JSONSerializer)

    @property
    def queue(self) -> Queue:
        """RQ's, for a worker of it."""
        return self._queue

    def put(self, function: str, identifier: int) -> None:
        """Have `web.jobs.<function>` done for this id; while it waits or is being done, again is as once."""
        job_id = f"{function}-{identifier}"
        former = Job.fetch_many([job_id], connection=self._connection, serializer=JSONSerializer)[0]
        if former is not None and former.get_status() in _OVER:
            former.delete()
        with suppress(DuplicateJobError):
            self._queue.enqueue_call(
                f"web.jobs.{function}",
                args=(identifier,),
                job_id=job_id,
                unique=True,
                timeout=_LONGEST,
                result_ttl=0,
                failure_ttl=_KEPT,
            )
