"""What the worker does, one function a job. Each is given an id; the tables tell the rest.

Queued by `ci.queue.events` under these names, run by `web.working` within an application's context. Whatever is
queued twice is done once: what a job changes, it changes in the transaction that also says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.dispatch import expanding
from ci.pipeline.event import Event, EventKind
from ci.store import crons, deliveries, repositories, stages
from ci.trigger import schedules
from ci.trigger.remotes import remote
from web.services import current

if TYPE_CHECKING:
    import sqlalchemy as sql


def handle_delivery(identifier: int) -> None:
    """Make a build of what a webhook told."""
    services = current()
    with services.database.read() as connection:
        delivery = deliveries.get(connection, identifier)
        if delivery is None or delivery.outcome or delivery.event is None:
            return
        repository = repositories.get(connection, delivery.repository_id)

    def claim(connection: sql.Connection) -> bool:
        return deliveries.handle(connection, identifier, "built")

    source = remote(repository, services.keyring, delivery.event.remote_url)
    outcome = services.trigger.handle(repository, delivery.event, source, claim=claim)
    if outcome.build is None:
        with services.database.write() as connection:
            deliveries.handle(connection, identifier, outcome.reason)
        return
    services.dispatcher.begin(outcome)


def finish_logs(identifier: int) -> None:
    """Compress the logs of a Stage that is over, and of attempts at it that are. Nobody ends those of a lost runner."""
    services = current()
    with services.database.read() as connection:
        stage = stages.find(connection, identifier)
    if stage is None:
        return
    for key in services.logs.growing(stage.id):
        if key.attempt < stage.attempt or stage.state.over:
            services.logs.end(key)
            services.logs.finish(key)
            services.notices.announce(key)


def run_cron(identifier: int) -> None:
    """Build the newest commit of a schedule's branch. Times that were missed while nobody worked are one."""
    services = current()
    now = services.clock()
    with services.database.read() as connection:
        cron = crons.get(connection, identifier)
        repository = repositories.get(connection, cron.repository_id)
    if not cron.enabled or cron.next > now:
        return
    following = schedules.following(cron.schedule, now)

    def claim(connection: sql.Connection) -> bool:
        return crons.take(connection, cron, following, "built")

    event = Event(kind=EventKind.CRON, branch=cron.branch or repository.default_branch, cron=cron.name)
    outcome = services.trigger.handle(repository, event, remote(repository, services.keyring), claim=claim)
    if outcome.build is None:
        with services.database.write() as connection:
            crons.take(connection, cron, following, outcome.reason)
    services.dispatcher.begin(outcome)


def expand_stage(identifier: int) -> None:
    """Make the Stages of a matrix whose cells are outputs of an earlier Stage."""
    services = current()
    build_id = expanding.expand(services.database, services.mirrors, services.keyring, identifier, services.clock())
    if build_id:
        services.dispatcher.advance(build_id)
