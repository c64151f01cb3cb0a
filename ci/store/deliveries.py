"""Which deliveries of webhooks have been taken: forges repeat them, and each is to make one build."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from ci.pipeline.event import Event
from ci.pipeline.wire import from_document, to_document
from ci.store.schema import deliveries


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One that was taken. `event` None: nothing is to be built. `outcome` empty: it is not handled yet."""

    id: int
    repository_id: int
    delivery: str  # the forge's own id of it
    received: float
    event: Event | None = None
    outcome: str = ""


def take(
    connection: sql.Connection, repository_id: int, delivery: str, now: float, event: Event | None, outcome: str = ""
) -> int | None:
    """Its id, where it is the caller's to handle; None for one that was taken before. Of several at once one gets it.

    `outcome`: why nothing is to be done.
    """
    document = to_document(event) if event is not None else None
    values = {"repository_id": repository_id, "delivery": delivery, "received": now, "outcome": outcome}
    try:
        with connection.begin_nested():
            identifier: int = connection.execute(
                sql.insert(deliveries).values(**values, event=document).returning(deliveries.c.id)
            ).scalar_one()
    except IntegrityError:
        return None
    return identifier


def get(connection: sql.Connection, identifier: int) -> Delivery | None:
    """By our id."""
    row = connection.execute(sql.select(deliveries).where(deliveries.c.id == identifier)).one_or_none()
    if row is None:
        return None
    event = from_document(Event, row.event) if row.event is not None else None
    return Delivery(**{**row._mapping, "event": event})


def handle(connection: sql.Connection, identifier: int, outcome: str) -> bool:
    """Note what comes of it; False where that is known. In the transaction that does it, so that it is done once."""
    changed = connection.execute(
        sql.update(deliveries).where(deliveries.c.id == identifier, deliveries.c.outcome == "").values(outcome=outcome)
    ).rowcount
    return changed == 1


def waiting(connection: sql.Connection, before: float) -> tuple[int, ...]:
    """Ids of those from before a time that nobody has handled."""
    rows = connection.execute(
        sql.select(deliveries.c.id).where(deliveries.c.outcome == "", deliveries.c.received < before)
    )
    return tuple(rows.scalars())


def forget(connection: sql.Connection, before: float) -> int:
    """Remove those from before a time; how many."""
    return connection.execute(sql.delete(deliveries).where(deliveries.c.received < before)).rowcount
