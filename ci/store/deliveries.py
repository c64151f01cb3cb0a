"""Which deliveries of webhooks have been taken: forges repeat them, and each is to make one build."""

from __future__ import annotations

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from ci.store.schema import deliveries


def claim(connection: sql.Connection, repository_id: int, delivery: str, now: float) -> bool:
    """Whether the delivery is the caller's to handle; False for one that was taken before. Of several at once one gets
    it.
    """
    try:
        with connection.begin_nested():
            connection.execute(
                sql.insert(deliveries).values(repository_id=repository_id, delivery=delivery, received=now)
            )
    except IntegrityError:
        return False
    return True


def conclude(connection: sql.Connection, repository_id: int, delivery: str, outcome: str) -> None:
    """Note what came of it, for the page that lists them."""
    connection.execute(
        sql.update(deliveries)
        .where(deliveries.c.repository_id == repository_id, deliveries.c.delivery == delivery)
        .values(outcome=outcome)
    )


def forget(connection: sql.Connection, before: float) -> int:
    """Remove those from before a time; how many."""
    return connection.execute(sql.delete(deliveries).where(deliveries.c.received < before)).rowcount
