"""Databases for the tests of the store: each runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sql

from ci.store import repositories
from ci.store.database import Database
from ci.store.repositories import Repository
from tests.ci.store import postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a database on a server of this process of the run."""
    if postgresql.programs() is None:
        pytest.skip("needs PostgreSQL (package postgresql)")
    with postgresql.server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/hako.db"
        return
    base = sql.make_url(request.getfixturevalue("postgresql_server")).set(drivername="postgresql+psycopg")
    name = f"t{uuid.uuid4().hex}"
    engine = sql.create_engine(base, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sql.text(f"CREATE DATABASE {name}"))
    yield base.set(database=name, drivername="postgresql").render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sql.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """A database with its tables."""
    found = Database(url)
    found.migrate()
    yield found
    found.close()


@pytest.fixture
def repository(database: Database) -> Repository:
    """A repository in it."""
    with database.write() as connection:
        return repositories.add(
            connection, Repository(forge="github", forge_url="https://github.com", forge_id="7", name="octo/hello")
        )
