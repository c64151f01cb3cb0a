"""What the worker does, one function a job. Each is given an id; the tables tell the rest.

Queued by `ci.queue.events` under these names, run by `web.working` within an application's context. Whatever is
queued twice is done once: what a job changes, it changes in the transaction that also says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.dispatch import expanding
from ci.store import deliveries, repositories, stages
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


def expand_stage(identifier: int) -> None:
    """Make the Stages of a matrix whose cells are outputs of an earlier Stage."""
    services = current()
    build_id = expanding.expand(services.database, services.mirrors, services.keyring, identifier, services.clock())
    if build_id:
        services.dispatcher.advance(build_id)
