"""Which files a Stage has left, attempt by attempt; the bytes are in files (`ci.artifacts`)."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sql

from ci.store.schema import artifacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """`path` as the step named it; `digest` is SHA-256 in hexadecimal; `size` in bytes."""

    stage_id: int
    attempt: int
    path: str
    size: int
    digest: str
    created: float = 0.0


def put(connection: sql.Connection, artifact: Artifact) -> None:
    """Note one, in place of what the attempt had under its path."""
    values = {name: getattr(artifact, name) for name in Artifact.__slots__}
    same = [artifacts.c[name] == values[name] for name in ("stage_id", "attempt", "path")]
    if not connection.execute(sql.update(artifacts).where(*same).values(values)).rowcount:
        connection.execute(sql.insert(artifacts).values(values))


def listed(connection: sql.Connection, stage_id: int, attempt: int) -> tuple[Artifact, ...]:
    """Those of an attempt, by path."""
    columns = [artifacts.c[name] for name in Artifact.__slots__]
    rows = connection.execute(
        sql.select(*columns)
        .where(artifacts.c.stage_id == stage_id, artifacts.c.attempt == attempt)
        .order_by(artifacts.c.path)
    )
    return tuple(Artifact(**row._mapping) for row in rows)


def find(connection: sql.Connection, stage_id: int, attempt: int, path: str) -> Artifact | None:
    """The one under a path."""
    return next((one for one in listed(connection, stage_id, attempt) if one.path == path), None)
