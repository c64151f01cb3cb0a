"""The tables. `migrations` makes them; a test holds the two against each other.

Times are seconds since 1970 as floating-point numbers, 0 for "not yet". Documents that are only ever read whole (an
event, a compiled Stage, diagnostics) are JSON; what is searched by has a column. Foreign keys are in force on SQLite,
too (`database`).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    true,
)

# Named, so that a later migration can drop them on every database.
METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _number(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _time(name: str) -> Column[float]:
    return Column(name, Float, nullable=False, server_default="0")


def _document(name: str) -> Column[Any]:
    return Column(name, JSON, nullable=False)


def _state() -> Column[str]:
    return Column("state", String(16), nullable=False)


def _owner(table: str, name: str) -> Column[int]:
    return Column(name, Integer, ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False)


repositories = Table(
    "repositories",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("forge", String(16), nullable=False),  # the kind: github, gitea, gitlab, git
    Column("forge_url", Text, nullable=False),
    Column("forge_id", String(64), nullable=False),  # what the forge calls it by, whatever its name
    Column("name", Text, nullable=False),  # owner/name
    _text("clone_url"),
    _text("ssh_url"),
    _text("default_branch"),
    Column("private", Boolean, nullable=False, server_default=false()),
    Column("trusted", Boolean, nullable=False, server_default=false()),
    Column("active", Boolean, nullable=False, server_default=true()),
    _number("last_number"),  # of its builds
    _document("settings"),
    _text("hook_secret"),  # what its webhook signs with, encrypted
    _text("former_hook_secret"),  # while it is replaced
    _text("token"),  # of the forge, encrypted: for fetching it and for statuses
    _time("created"),
    UniqueConstraint("forge_url", "forge_id"),
    UniqueConstraint("forge_url", "name"),
)

deliveries = Table(
    "deliveries",
    METADATA,
    Column("id", Integer, primary_key=True),
    _owner("repositories", "repository_id"),
    Column("delivery", String(128), nullable=False),  # the forge's own id of it
    _time("received"),
    Column("event", JSON(none_as_null=True)),  # what is to be built; none: nothing
    _text("outcome"),  # empty: not handled yet
    UniqueConstraint("repository_id", "delivery"),
    Index(None, "outcome", "received"),
    Index(None, "received"),
)

builds = Table(
    "builds",
    METADATA,
    Column("id", Integer, primary_key=True),
    _owner("repositories", "repository_id"),
    Column("number", Integer, nullable=False),
    _state(),
    _document("event"),
    Column("kind", String(32), nullable=False),
    _text("branch"),
    _text("ref"),
    Column("commit", String(64), nullable=False),
    _text("title"),
    _text("author"),
    _number("pull_request"),
    _number("parent"),  # the number of the build that this one repeats or deploys
    _number("priority"),
    _text("error"),
    _document("diagnostics"),
    _text("decided_by"),  # who approved, declined or cancelled it
    _text("approved_by"),
    _time("created"),
    _time("started"),
    _time("finished"),
    UniqueConstraint("repository_id", "number"),
    Index(None, "repository_id", "branch", "number"),
    Index(None, "repository_id", "kind", "number"),
    Index(None, "repository_id", "state", "number"),
    Index(None, "repository_id", "author", "number"),
    Index(None, "state"),
)

stages = Table(
    "stages",
    METADATA,
    Column("id", Integer, primary_key=True),
    _owner("builds", "build_id"),
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False),
    _document("matrix"),
    _document("labels"),
    _document("depends_on"),  # numbers of Stages of the same build
    _document("spec"),
    _state(),
    _text("runner"),
    _number("attempt"),
    _number("losses"),  # runners that were lost with it
    _number("concurrency"),  # how many of its name run at once in the repository; 0: any number
    Column("runs_on", String(8), nullable=False, server_default="success"),  # of those before it; failure, always
    Column("expands", Boolean, nullable=False, server_default=false()),  # its cells are still to be made of outputs
    _document("outputs"),  # of its steps
    _text("error"),
    _time("ready"),  # since when it waits for no other Stage
    _time("released"),  # since when a runner may have it
    _time("cancelled"),  # since when its runner is to end it
    _time("queued"),
    _time("started"),
    _time("finished"),
    UniqueConstraint("build_id", "number"),
    Index(None, "state"),
)

steps = Table(
    "steps",
    METADATA,
    Column("id", Integer, primary_key=True),
    _owner("stages", "stage_id"),
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", String(16), nullable=False),  # clone, service, step
    _state(),
    Column("exit_code", Integer),
    _text("error"),
    _time("started"),
    _time("finished"),
    UniqueConstraint("stage_id", "number"),
)

runners = Table(
    "runners",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("digest", String(64), nullable=False, unique=True),  # of its token
    Column("active", Boolean, nullable=False, server_default=true()),
    _document("labels"),
    _document("facts"),  # what it says of itself: version, platform, jobs, cpus, memory
    _document("load"),  # what its last heartbeat said: free_memory, load, disk_free
    _time("created"),
    _time("seen"),
)

artifacts = Table(
    "artifacts",
    METADATA,
    Column("id", Integer, primary_key=True),
    _owner("stages", "stage_id"),
    Column("attempt", Integer, nullable=False),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256
    _time("created"),
    UniqueConstraint("stage_id", "attempt", "path"),
)

test_reports = Table(
    "test_reports",
    METADATA,
    Column("id", Integer, primary_key=True),
    _owner("stages", "stage_id"),
    Column("attempt", Integer, nullable=False),
    Column("step", Integer, nullable=False),
    _document("report"),  # as `runners.testreports` counts and names them
    UniqueConstraint("stage_id", "attempt", "step"),
)

crons = Table(
    "crons",
    METADATA,
    Column("id", Integer, primary_key=True),
    _owner("repositories", "repository_id"),
    Column("name", String(128), nullable=False),
    Column("schedule", Text, nullable=False),
    _text("branch"),
    Column("enabled", Boolean, nullable=False, server_default=true()),
    _time("next"),
    _time("created"),
    _text("outcome"),  # of the last time
    UniqueConstraint("repository_id", "name"),
    Index(None, "next"),
)

secrets = Table(
    "secrets",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("forge_url", Text, nullable=False),  # empty, as owner: the whole server's
    Column("owner", Text, nullable=False),
    Column("repository_id", Integer, ForeignKey("repositories.id", ondelete="CASCADE")),
    Column("name", String(128), nullable=False),
    Column("value", Text, nullable=False),  # encrypted
    _document("events"),
    _document("branches"),
    _document("images"),
    _time("changed"),
    Index(None, "repository_id", "name", unique=True),
    Index(None, "forge_url", "owner", "name"),
)

users = Table(
    "users",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("login", Text, nullable=False),
    Column("forge_url", Text, nullable=False),  # empty: a local account
    Column("forge_id", String(64), nullable=False),
    _text("email"),
    _text("avatar_url"),
    Column("admin", Boolean, nullable=False, server_default=false()),
    Column("active", Boolean, nullable=False, server_default=true()),
    _text("password"),  # as `ci.access.passwords` keeps it
    _text("token"),  # of the forge, encrypted
    _time("created"),
    _time("seen"),
    _time("synchronized"),
    UniqueConstraint("forge_url", "forge_id"),
    UniqueConstraint("forge_url", "login"),
)

permissions = Table(
    "permissions",
    METADATA,
    Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("repository_id", Integer, ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True),
    Column("role", String(8), nullable=False),
)

sessions = Table(
    "sessions",
    METADATA,
    Column("digest", String(64), primary_key=True),
    _owner("users", "user_id"),
    _time("created"),
    _time("seen"),
    Index(None, "seen"),
)

tokens = Table(
    "tokens",
    METADATA,
    Column("id", Integer, primary_key=True),
    _owner("users", "user_id"),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("beginning", String(16), nullable=False),
    Column("role", String(8), nullable=False),
    _time("created"),
    _time("used"),
    _time("expires"),
)
