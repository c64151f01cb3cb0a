"""The worker: RQ's workers of the queue `events` in threads, and the beat, which looks every few seconds after all that
is to happen by itself.

Any number of workers may run. Of their beats one at a time beats: it holds a lock in Redis, which is free again soon
after its holder has died.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any

from redis.exceptions import LockError, RedisError
from rq import SimpleWorker
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty
from sqlalchemy.exc import OperationalError

from ci.store import crons, deliveries, stages
from web.rpc.presence import LOST_AFTER
from web.services import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask

    from web.services import Services

log = logging.getLogger("hako.worker")
_LOCK = "hako:beat"
_LOCKED = 30  # seconds after which the lock of a beat that has died is free
_WAITING = 1
_PAUSE = 1.0  # seconds between two beats
_LATE = 15.0  # seconds after which a delivery that nobody has handled is queued again
_REPAIRS = 5  # beats between two looks at what a crash may have left
_KEPT = 30 * 86400  # seconds for which deliveries are remembered


class EventWorker(SimpleWorker):
    """RQ's worker in a thread: signals, which only the main thread can have, are `work`'s affair."""

    death_penalty_class = TimerDeathPenalty
    max_connection_wait_time = 2.0

    @property
    def dequeue_timeout(self) -> int:
        """Seconds for which it waits for a job before it looks whether it is to end."""
        return _WAITING

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Between two jobs it is called without a timeout, also while Redis is away: the place to end."""
        if self._stop_requested and timeout is None:
            raise StopRequested
        super().heartbeat(timeout, pipeline)

    def _install_signal_handlers(self) -> None:
        pass

    def stop(self) -> None:
        """End after the job that is being done."""
        self._stop_requested = True


def work(app: Flask, services: Services, *, threads: int, stopped: threading.Event) -> None:
    """Work until `stopped` is set; jobs that are being done are finished first."""
    workers = [
        EventWorker([services.events.queue], connection=services.redis, serializer=JSONSerializer)
        for _ in range(threads)
    ]
    running = [threading.Thread(target=_within, args=(app, _events, worker, stopped)) for worker in workers]
    running.append(threading.Thread(target=_within, args=(app, _beat, stopped)))
    for thread in running:
        thread.start()
    stopped.wait()
    for worker in workers:
        worker.stop()
    for thread in running:
        thread.join()


def _within(app: Flask, function: Callable[..., None], *arguments: Any) -> None:
    with app.app_context():
        function(*arguments)


def _events(worker: EventWorker, stopped: threading.Event) -> None:
    """RQ's own loop ends where Redis does not answer for long; it is begun again."""
    while not stopped.is_set():
        try:
            worker.work(logging_level="WARNING", with_scheduler=False, burst=False)
        except RedisError as error:
            log.warning("the queue does not answer: %s", error)
            stopped.wait(_PAUSE)


def _beat(stopped: threading.Event) -> None:
    services = current()
    lock = services.redis.lock(_LOCK, timeout=_LOCKED, blocking=False, thread_local=False)
    count = 0
    while not stopped.is_set():
        try:
            if lock.owned() or lock.acquire():
                lock.reacquire()
                beat(services, repair=count % _REPAIRS == 0)
                count += 1
        except (LockError, RedisError, OperationalError) as error:
            log.warning("beat: %s", " ".join(str(error).split())[:500])
        except Exception:
            log.exception("beat")
        stopped.wait(_PAUSE)
    with contextlib.suppress(LockError, RedisError):  # it may be another's
        lock.release()


def beat(services: Services, *, repair: bool) -> None:
    """Once: queue what the tables say is to be done and nobody does."""
    now = services.clock()
    with services.database.read() as connection:
        late = deliveries.waiting(connection, now - _LATE)
        due = crons.due(connection, now)
    for identifier in late:
        services.events.put("handle_delivery", identifier)
    for identifier in due:
        services.events.put("run_cron", identifier)
    if repair:
        services.dispatcher.repair(LOST_AFTER)
        for identifier in _with_logs(services):
            services.events.put("finish_logs", identifier)
        with services.database.write() as connection:
            deliveries.forget(connection, now - _KEPT)


def _with_logs(services: Services) -> list[int]:
    """Stages with logs that nobody will add to any more, and that are not finished."""
    oldest: dict[int, int] = {}
    for key in services.logs.growing():
        oldest[key.stage] = min(key.attempt, oldest.get(key.stage, key.attempt))
    with services.database.read() as connection:
        found = {identifier: stages.find(connection, identifier) for identifier in oldest}
    return [
        identifier
        for identifier, stage in found.items()
        if stage is not None and (stage.state.over or oldest[identifier] < stage.attempt)
    ]
