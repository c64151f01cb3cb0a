"""An event → a build. Called by the worker that hooks are handed to, by cron, and by whoever asks for a build by hand.

Whatever is wrong with the repository becomes a build in the state error that says it, so that nobody waits for one in
vain. The forge answers while no transaction is open; only the numbering, compiling and storing is one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ci.errors import CiError
from ci.pipeline.compile import compile_all
from ci.pipeline.diagnostics import summary
from ci.pipeline.event import NULL_COMMIT, EventKind, Previous
from ci.store import builds, repositories
from ci.store.records import Filter
from ci.trigger import configuration, planning, rules

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sql

    from ci.mirror.mirror import Mirror
    from ci.mirror.mirrors import Mirrors
    from ci.mirror.transport import Remote
    from ci.pipeline.event import Event
    from ci.pipeline.loading import Loaded
    from ci.store.database import Database
    from ci.store.records import Build, Stage
    from ci.store.repositories import Repository

    Claim = Callable[[sql.Connection], bool]

_HANDLED = "it was handled before"
_LOOKED_AT = 20  # builds of a branch in which the one before is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an event. Without a build `reason` says why. `stopped` are Stages of builds that it made idle, which
    run: their runners are to be told.
    """

    build: Build | None = None
    reason: str = ""
    stopped: tuple[Stage, ...] = ()


class Trigger:
    """Makes builds; `server` is the URL of the server's pages, `clock` gives seconds since 1970. Thread-safe."""

    def __init__(self, database: Database, mirrors: Mirrors, *, server: str, clock: Callable[[], float]) -> None:
        self._database = database
        self._mirrors = mirrors
        self._server = server.rstrip("/")
        self._clock = clock

    def handle(self, repository: Repository, event: Event, remote: Remote, *, claim: Claim | None = None) -> Outcome:
        """Build an event of a repository, which is fetched from `remote`.

        `claim` is asked in the transaction that stores the build: where it says no, somebody else has stored one.
        """
        chosen = rules.settings(repository.settings)
        reason = rules.why_not(event, chosen) if repository.active else "the repository is not active"
        if reason:
            return Outcome(reason=reason)
        event = self._of_repository(repository, event)
        try:
            commit = "" if event.commit == NULL_COMMIT else event.commit
            mirror = self._mirrors.fetch(str(repository.id), remote, commit, event.full_ref)
            event = _completed(event, mirror)
            if reason := rules.why_not(event, chosen):  # the message may only be known now
                return Outcome(reason=reason)
            loaded = configuration.read(mirror, event.commit, chosen.configuration)
        except CiError as error:
            return self._failed(repository, event, str(error), claim)
        if loaded is None:
            return Outcome(reason="there is no pipeline at the commit")
        return self._store(repository, event, loaded, chosen, claim)

    def _of_repository(self, repository: Repository, event: Event) -> Event:
        """What the server knows better than the hook."""
        return replace(
            event,
            repository=repository.name,
            repository_id=repository.forge_id,
            remote_url=repository.clone_url or event.remote_url,
            ssh_url=repository.ssh_url or event.ssh_url,
            default_branch=event.default_branch or repository.default_branch,
            private=repository.private,
            trusted=repository.trusted and not event.fork,  # whoever opens one writes the pipeline
            forge=repository.forge,
            forge_url=repository.forge_url,
            server_url=self._server,
            created=int(self._clock()),
        )

    def _store(
        self, repository: Repository, event: Event, loaded: Loaded, chosen: rules.Settings, claim: Claim | None
    ) -> Outcome:
        now = self._clock()
        diagnostics = [one.as_json() for one in loaded.diagnostics]
        with self._database.write() as connection:
            if claim is not None and not claim(connection):
                return Outcome(reason=_HANDLED)
            number = repositories.next_number(connection, repository.id)
            event = replace(
                event,
                build_url=f"{self._server}/{repository.name}/{number}",
                previous=_previous(connection, repository, event),
            )
            error = "" if loaded.ok else f"{loaded.filename}: {summary(loaded.diagnostics)}"
            planned: tuple[Stage, ...] = ()
            if not error:
                try:
                    planned = planning.stages(compile_all(loaded.documents, event, number=number))
                except (CiError, ValueError) as mistake:
                    error = f"{loaded.filename}: {mistake}"
            build = builds.create(
                connection,
                repository.id,
                event,
                planned,
                now,
                number=number,
                blocked=rules.needs_approval(event, chosen),
                parent=event.parent,
                priority=chosen.priority,
                error=error,
                diagnostics=diagnostics,
            )
            stopped = self._stop_superseded(connection, build, now) if chosen.cancel_superseded else ()
        return Outcome(build=build, stopped=stopped)

    @staticmethod
    def _stop_superseded(connection: sql.Connection, build: Build, now: float) -> tuple[Stage, ...]:
        """A newer push makes earlier builds of its branch or pull request idle; tags and what people asked for stay."""
        if build.state.over or build.event.parent or build.event.kind not in (EventKind.PUSH, EventKind.PULL_REQUEST):
            return ()
        by = f"build {build.number}"
        return tuple(
            stage
            for other in builds.superseded(connection, build)
            for stage in builds.cancel(connection, other.id, by, now)
        )

    def _failed(self, repository: Repository, event: Event, error: str, claim: Claim | None) -> Outcome:
        with self._database.write() as connection:
            if claim is not None and not claim(connection):
                return Outcome(reason=_HANDLED)
            return Outcome(build=builds.create(connection, repository.id, event, (), self._clock(), error=error))


def _completed(event: Event, mirror: Mirror) -> Event:
    """What a hook leaves out is in the repository: a release's commit, a tag's message, a pull request's files."""
    if event.commit == NULL_COMMIT:
        event = replace(event, commit=mirror.commit_of(event.full_ref))
    author, email = mirror.author(event.commit)
    return replace(
        event,
        message=event.message or mirror.message(event.commit).rstrip("\n"),
        author=event.author or author,
        author_email=event.author_email or email,
        committed=event.committed or mirror.committed(event.commit),
        changed_files=_changed(event, mirror),
    )


def _changed(event: Event, mirror: Mirror) -> tuple[str, ...] | None:
    """From the repository itself where it can tell; a hook lists the files of so many commits at most."""
    before = event.before
    if event.kind.of_pull_request:
        before = mirror.fork_point(event.branch, event.commit)
    if not before or before == NULL_COMMIT:
        return event.changed_files
    return mirror.changed_files(before, event.commit) or event.changed_files


def _previous(connection: sql.Connection, repository: Repository, event: Event) -> Previous | None:
    """The last build of the branch that has ended."""
    wanted = Filter(branch=event.branch, limit=_LOOKED_AT)
    for build in builds.page(connection, repository.id, wanted):
        if build.state.over:
            return Previous(
                number=build.number,
                status=build.state,
                event=replace(build.event, previous=None),
                started=int(build.started),
                finished=int(build.finished),
            )
    return None
