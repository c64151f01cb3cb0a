"""Brings builds on: what runners may have goes to their queues, what is to end is told to them.

The tables are the truth, and are changed first; queues and channels hear of it after the commit. What a crash leaves
out in between, `repair` finds, which the beat calls. Called by the worker's jobs, the runners' RPC and the REST API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.dispatch.advancing import advance
from ci.errors import CiError
from ci.store import builds, releasing, repositories, runners, stages
from ci.store.settling import lock_of
from ci.store.stages import Holder
from ci.store.states import State
from ci.trigger import rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import redis

    from ci.queue.events import Events
    from ci.queue.queues import Queues
    from ci.store.database import Database
    from ci.store.records import Stage
    from ci.trigger.trigger import Outcome

CHANNEL = "hako:cancel"  # runners listen there for ids of Stages
_MOST_LOSSES = 3  # runners that may be lost with a Stage
_STUBBORN = 120.0  # seconds after which a runner that does not end what it was told to is not waited for


class Dispatcher:
    """Thread-safe; any number of processes may have one. `clock` gives seconds since 1970."""

    def __init__(
        self, database: Database, queues: Queues, events: Events, connection: redis.Redis, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._queues = queues
        self._events = events
        self._connection = connection
        self._clock = clock

    def begin(self, outcome: Outcome) -> None:
        """A build was made: have it run, and end those that it makes idle."""
        self.stop(outcome.stopped)
        if outcome.build is not None:
            self.advance(outcome.build.id)

    def advance(self, build_id: int) -> None:
        """Let runners have what they may have of a build, as things stand now."""
        with self._database.write() as connection:
            expanding = advance(connection, build_id, self._clock())
            repository_id = builds.repository_of(connection, build_id)
        self._follow(repository_id, expanding)

    def finish(
        self,
        stage_id: int,
        holder: Holder,
        state: State,
        *,
        error: str = "",
        outputs: Mapping[str, Mapping[str, str]] | None = None,
    ) -> bool:
        """A runner says how its Stage ended. False where it is not that holder's (any more). Again is as once."""
        with self._database.write() as connection:
            lock_of(connection, stage_id)
            stage = stages.get(connection, stage_id)
            if (stage.runner, stage.attempt) != holder or stage.state is State.PENDING:
                return False
            if not stage.state.over:
                if stage.cancelled and state is not State.SUCCESS:
                    state = State.KILLED
                stages.finish(connection, stage_id, holder, state, self._clock(), error=error, outputs=outputs)
            expanding = advance(connection, stage.build_id, self._clock())
            repository_id = builds.repository_of(connection, stage.build_id)
        self._follow(repository_id, expanding)
        return True

    def give_up(self, stage: Stage, reason: str) -> None:
        """The runner of a Stage is lost: it waits for another, unless it was to end, or has lost too many."""
        holder = Holder(stage.runner, stage.attempt)
        now = self._clock()
        with self._database.write() as connection:
            if stage.cancelled:
                stages.finish(connection, stage.id, holder, State.KILLED, now)
            else:
                error = f"{reason}, for the {stage.losses + 1}. time" if stage.losses + 1 >= _MOST_LOSSES else ""
                stages.give_up(connection, stage.id, holder, now, error=error)
        self._requeue()
        self.advance(stage.build_id)

    def cancel(self, build_id: int, by: str) -> None:
        """End a build: what waits will not run, what runs is ended by its runners."""
        with self._database.write() as connection:
            running = builds.cancel(connection, build_id, by, self._clock())
        self.stop(running)
        self.advance(build_id)

    def stop(self, running: Iterable[Stage]) -> None:
        """Tell runners to end these Stages; heartbeats tell them again."""
        for stage in running:
            self._connection.publish(CHANNEL, str(stage.id))

    def approve(self, build_id: int, by: str) -> bool:
        """Let a blocked build run. False where it is not blocked (any more)."""
        with self._database.write() as connection:
            approved = builds.approve(connection, build_id, by, self._clock())
        self.advance(build_id)
        return approved

    def repair(self, lost_after: float) -> None:
        """Bring on what a crash has left: of a server between two steps, of a queue, of runners."""
        with self._database.read() as connection:
            stalled = builds.stalled(connection)
            held_back = releasing.held_back(connection)
        for build_id in stalled:
            self.advance(build_id)
        for repository_id in held_back:
            self._release(repository_id)
        self._requeue()
        for stage in self._abandoned(lost_after):
            self.give_up(stage, f"the runner {stage.runner} was lost")

    def _abandoned(self, lost_after: float) -> list[Stage]:
        now = self._clock()
        with self._database.read() as connection:
            found = [
                stage
                for name in runners.lost(connection, now - lost_after)
                for stage in stages.of_runner(connection, name)
            ]
            return found + list(stages.stubborn(connection, now - _STUBBORN))

    def _follow(self, repository_id: int, expanding: Iterable[int]) -> None:
        for stage_id in expanding:
            self._events.put("expand_stage", stage_id)
        self._release(repository_id)

    def _release(self, repository_id: int) -> None:
        with self._database.write() as connection:
            chosen = rules.settings(repositories.get(connection, repository_id).settings)
            released = releasing.release(connection, repository_id, self._clock(), limit=chosen.concurrency)
        for one in released:
            try:
                self._queues.put(one)
            except CiError as error:  # a label that is no part of a queue's name: nobody will ever take it
                with self._database.write() as connection:
                    stages.end(connection, one.id, State.ERROR, self._clock(), error=str(error))

    def _requeue(self) -> None:
        with self._database.read() as connection:
            waiting = releasing.waiting(connection)
        for one in self._queues.missing(waiting) if waiting else ():
            self._queues.put(one)
