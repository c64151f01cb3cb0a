"""The runner on a host: an RQ worker that takes Stages off the queues its labels fit, and forks a process for each.

RQ's own worker runs one job at a time and waits for it. This one has as many Stages at once as it was told, while there
is memory for another; it takes the job, forks `worker.main`, and goes on. What it has, it reads off the folders of its
Stages (`stagefolder`), so that one which begins where another was killed finds the Stages that go on, gives up those
that cannot, and says so to the server. SIGTERM: takes nothing more, and ends with its last Stage. The second: ends
them, to be run by others. The process has no threads, since Stages' processes are its copies; `pulse` has the
heartbeat.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import redis
from rq import Queue
from rq.exceptions import DequeueTimeout
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker

from ci.errors import CiError
from runners import assignment, delivery, folderlock, stagefolder, treeslots, worker
from runners.pulse import Pulse, free_memory
from runners.rpc import AwayError
from sandbox.kernel import process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from rq.executions import Execution

    from runners.host import Host
    from runners.stagefolder import StageFolder

_TICK = 1  # seconds that Redis is asked to wait for a job, between looks at everything else
_GLANCE = 0.02  # seconds between two looks at the Stages, when no other is taken
_MEMORY = 256 << 20  # bytes that have to be free for one more Stage
_LEASE = 30.0  # seconds between two signs of life for jobs: RQ gives up those without
_PATIENCE = 10.0  # seconds that Stages have to end when the runner ends at once


class _Taken(NamedTuple):
    """A job whose Stage has a process."""

    stage: int
    job: Job
    queue: Queue
    execution: Execution


class Agent(BaseWorker):
    """Runs until it is told to end. `fitting` gives the names of queues, the most urgent first; `about` is what the
    server is told of the runner; `connect` makes a Redis client.
    """

    log_result_lifespan = False

    def __init__(
        self,
        host: Host,
        *,
        connect: Callable[[], redis.Redis],
        fitting: Callable[[redis.Redis], tuple[str, ...]],
        about: Mapping[str, Any],
        jobs: int,
    ) -> None:
        self._host = host
        self._connect = connect
        self._fitting = fitting
        self._about = about
        self._jobs = jobs
        self._running: dict[int, _Taken] = {}  # by process id
        self._pulse = 0
        self._interval = 0.0  # seconds between heartbeats: what the server says
        self._lock = -1  # of the runner's folder, by this process alone
        self._stops = 0  # how often we were told to end
        self._leased = time.monotonic()
        super().__init__(
            [],
            name=f"{host.identity.name}-{os.getpid()}-{os.urandom(3).hex()}",
            connection=connect(),
            serializer=JSONSerializer,
        )

    def serve(self) -> None:
        """Take Stages until a signal says to end. Raises CiError where the server does not know us, or another runner
        has our folder.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told)
        self._lock = folderlock.lock(self._host.identity.root)
        if self._lock < 0:
            hint = "give each a HAKO_HOME of its own"
            raise CiError(f"a runner works in {self._host.identity.root} already", hint=hint, reference="in-use")
        process.set_child_subreaper(True)  # couriers that outlive their Stages' processes, and supervisors
        treeslots.reclaim(self._host.identity.root)
        self._reclaim()
        self._host.load()
        assignment.learn()
        gc.freeze()  # what is here is all Stages' processes': none of it is looked at again, few pages are copied
        while self._stops < 2 and not (self._stops and not self._has_stages()):
            self._reap()
            self._settle()
            if self._interval and not self._stops and self._has_room():
                self._take()
            else:
                time.sleep(_GLANCE if self._interval else _TICK)
        self._end()

    def _told(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stops += 1

    # --- jobs ------------------------------------------------------------------------------------------------------

    def _has_room(self) -> bool:
        return len(self._running) < self._jobs and (not self._running or free_memory() > _MEMORY)

    def _take(self) -> None:
        """Wait a moment for a job; where there is one, begin it."""
        try:
            self._sign()
            names = self._fitting(self.connection)
            self.queues = [Queue(name, connection=self.connection, serializer=JSONSerializer) for name in names]
            if not names:
                time.sleep(_GLANCE * 10)
                return
            found = Queue.dequeue_any(self.queues, _TICK, connection=self.connection, serializer=JSONSerializer)
            if found is not None:
                self.execute_job(*found)
        except DequeueTimeout:
            return
        except (redis.ConnectionError, redis.TimeoutError) as error:
            self._say(f"Redis is away: {error}")
            time.sleep(_TICK)

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Fork a process for the job's Stage, and do not wait for it."""
        execution = self.prepare_execution(job)
        self.prepare_job_execution(job, remove_from_intermediate_queue=True)
        job.started_at = job.enqueued_at
        try:
            stage = int(job.args[0])
        except (ValueError, TypeError, IndexError):  # nothing that a server of ours has queued
            self._conclude(_Taken(0, job, queue, execution))
            return
        pid = self._fork(lambda: worker.main(stage, self._host))
        self._running[pid] = _Taken(stage, job, queue, execution)

    def _sign(self) -> None:
        """Tell RQ that we live, and with us our jobs."""
        if self.birth_date is None:
            self.register_birth()  # type: ignore[no-untyped-call]
        if time.monotonic() - self._leased > _LEASE:
            self._leased = time.monotonic()
            self.heartbeat()
            self.run_maintenance_tasks()  # type: ignore[no-untyped-call]
            for taken in self._running.values():
                self.maintain_heartbeats(taken.job, taken.execution)

    def _conclude(self, taken: _Taken) -> None:
        """The job is over for RQ; what became of the Stage, the server knows."""
        with suppress(redis.RedisError):  # it is cleared away with us then
            job, queue = taken.job, taken.queue
            self.handle_execution_ended(job, queue, 0)
            job._status = JobStatus.FINISHED
            registry = queue.started_job_registry
            self.handle_job_success(job=job, queue=queue, started_job_registry=registry, execution=taken.execution)

    # --- Stages ----------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Take note of processes that have ended."""
        with suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                if pid == self._pulse:
                    self._pulse = 0
                if taken := self._running.pop(pid, None):
                    self._conclude(taken)
        if not self._pulse and self._interval:
            self._pulse = self._fork(lambda: Pulse(self._host, self._connect, interval=self._interval).run())

    def _settle(self) -> None:
        """See to the Stages whose processes are dead, and say to the server which we have, if it does not know."""
        lost = False
        living = {taken.stage for taken in self._running.values()}
        for folder in stagefolder.all_of(self._host.identity.root):
            if folder.stage in living or not folder.take():
                continue
            if folder.has_end:
                self._deliver(folder)
                continue
            if not lost:
                self._reclaim()
            lost = True
            folder.remove()
        if lost or not self._interval:
            self._greet()

    def _deliver(self, folder: StageFolder) -> None:
        """The Stage has ended, and its courier has not told all of it."""
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        delivery.start(folder, self._host, reading, writing)
        os.close(writing)
        folder.release()

    def _greet(self) -> None:
        """Say hello; where the server is away, the next time."""
        self._interval, before = 0.0, self._interval
        rpc = self._host.rpc()
        root = self._host.identity.root
        try:
            having = [folder.stage for folder in stagefolder.all_of(root) if folder.accepted]
            self._interval = float(rpc.hello(self._about, having, patience=_TICK)["heartbeat"])
        except AwayError as error:
            self._say(str(error))
        finally:
            rpc.close()
        if not before and self._interval:
            self._say(f"takes {self._jobs} stages at once, as {self._host.identity.name}")

    def _has_stages(self) -> bool:
        return bool(self._running) or bool(stagefolder.all_of(self._host.identity.root))

    def _reclaim(self) -> None:
        """In a process of its own: the engine does not live in this one."""
        pid = self._fork(self._host.reclaim)
        os.waitpid(pid, 0)

    def _end(self) -> None:
        """Stages that still run are ended, and given back."""
        folders = stagefolder.all_of(self._host.identity.root)
        for folder in folders:
            folder.signal(signal.SIGINT)
        deadline = time.monotonic() + _PATIENCE
        while self._running and time.monotonic() < deadline:
            self._reap()
            time.sleep(_GLANCE)
        for pid in self._running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while self._running:
            self._reap()
            time.sleep(_GLANCE)
        if folders:
            self._settle()
            with suppress(CiError):
                self._greet()
        if self._pulse:
            os.kill(self._pulse, signal.SIGKILL)
            os.waitpid(self._pulse, 0)
        with suppress(redis.RedisError):
            if self.birth_date is not None:
                self.register_death()  # type: ignore[no-untyped-call]
            self.connection.close()

    # --- processes -------------------------------------------------------------------------------------------------

    def _fork(self, work: Callable[[], object]) -> int:
        """A process for some work, in a session of its own: a terminal's Ctrl-C is for the runner."""
        pid = os.fork()
        if pid:
            return pid
        status = 1
        try:
            os.setsid()
            os.close(self._lock)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            work()
            status = 0
        except BaseException as error:  # the end of the process
            self._say(f"{type(error).__name__}: {error}")
        finally:
            os._exit(status)

    def _say(self, text: str) -> None:
        sys.stderr.write(f"ci-run: {text}\n")
        sys.stderr.flush()
