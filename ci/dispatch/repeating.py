"""What people ask of a build that is over: to begin it again, to make another of it, to deploy it, to roll back to it.

No way around an approval: what comes of a pull request that needed one needs one again, unless that very build was
approved. Called by the REST API and the pages.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.pipeline.event import EventKind
from ci.store import builds, repositories, restarts
from ci.store.states import State
from ci.trigger import rules
from ci.trigger.remotes import remote

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ci.dispatch.dispatcher import Dispatcher
    from ci.pipeline.event import Event
    from ci.secrets.keyring import Keyring
    from ci.store.database import Database
    from ci.store.records import Build
    from ci.trigger.trigger import Outcome, Trigger


class Repeating:
    """Thread-safe; `clock` gives seconds since 1970."""

    def __init__(
        self,
        database: Database,
        trigger: Trigger,
        dispatcher: Dispatcher,
        keyring: Keyring,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._trigger = trigger
        self._dispatcher = dispatcher
        self._keyring = keyring
        self._clock = clock

    def restart(self, build_id: int, *, numbers: Collection[int] = (), failed: bool = False) -> None:
        """Begin it again under its number: all, these Stages, or those that failed; with what depends on them.

        Raises CiError where it cannot be, see `restarts`.
        """
        with self._database.write() as connection:
            build = builds.get(connection, build_id)
            repository = repositories.get(connection, build.repository_id)
            blocked = not build.approved_by and rules.needs_approval(build.event, rules.settings(repository.settings))
            if failed:
                numbers = restarts.failed(connection, build_id)
                if not numbers:
                    raise CiError(f"nothing of build {build.number} has failed", reference="nothing-failed")
            restarts.restart(connection, build_id, self._clock(), numbers=numbers, blocked=blocked)
        self._dispatcher.advance(build_id)

    def again(self, build_id: int) -> Outcome:
        """Another build, with a number of its own, for the same event at the same commit."""
        build = self._build(build_id)
        return self._make(build, replace(build.event, parent=build.number, reruns=build.event.reruns + 1))

    def deploy(self, build_id: int, target: str, *, task: str = "", rollback: bool = False) -> Outcome:
        """Another build, of the event deployment (or rollback), for the commit of one that has passed."""
        build = self._build(build_id)
        if not target:
            raise CiError("a deployment has a target", hint="say where to: production", reference="no-target")
        if build.state is not State.SUCCESS:
            raise CiError(f"build {build.number} is {build.state}, not success", reference="not-passed")
        if build.event.fork:
            raise CiError(f"build {build.number} is of a pull request from a fork", reference="from-a-fork")
        kind = EventKind.ROLLBACK if rollback else EventKind.DEPLOYMENT
        return self._make(
            build, replace(build.event, kind=kind, deploy_target=target, deploy_task=task, parent=build.number)
        )

    def _build(self, build_id: int) -> Build:
        with self._database.read() as connection:
            return builds.get(connection, build_id)

    def _make(self, build: Build, event: Event) -> Outcome:
        with self._database.read() as connection:
            repository = repositories.get(connection, build.repository_id)
        source = remote(repository, self._keyring, build.event.remote_url)
        outcome = self._trigger.handle(repository, replace(event, previous=None), source)
        self._dispatcher.begin(outcome)
        return outcome
