"""The database: SQLite in a file by default, PostgreSQL for more. Opening it brings the tables up to date.

`read` and `write` open transactions. On SQLite a `write` takes the file's one lock at its beginning (BEGIN IMMEDIATE):
a transaction that reads first and wants to write then fails at once where another has written in between, whatever
the patience. Sources: sqlite.org "WAL mode", "Transactions"; SQLAlchemy, "SQLite: transactions with pysqlite".
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alembic.command
import alembic.config
import sqlalchemy as sql
from alembic.util import CommandError
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from ci.errors import CiError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_PATIENCE = 30.0  # seconds that a writer waits for the one before it
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x68616B6F  # of PostgreSQL's advisory locks: "hako"


class Database:
    """Where the server's tables are. Thread-safe; any number of processes may have it open."""

    def __init__(self, url: str) -> None:
        """`url` as SQLAlchemy has them: `sqlite:////var/lib/hako/server.db`, `postgresql://user@host/name`.

        Raises CiError where it cannot be opened.
        """
        self._engine = _engine(url)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of this host."""
        return self._engine.dialect.name == "sqlite"

    def migrate(self) -> None:
        """Bring the tables up to date; several processes may do so at once. Raises CiError for a database that a later
        Hako has changed.
        """
        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(sql.select(sql.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            try:
                alembic.command.upgrade(configuration(connection), "head")
            except CommandError as error:
                raise CiError(
                    f"the database is of another version of Hako: {error}",
                    hint="run the version that made it, or restore a backup",
                    reference="database-version",
                ) from error

    @contextmanager
    def read(self) -> Iterator[sql.Connection]:
        """A connection that sees one moment of the database; nothing may be written by it."""
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sql.Connection]:
        """A transaction, committed at the end unless something was raised. Short: on SQLite there is one at a time."""
        with self._engine.connect().execution_options(hako_writes=True) as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close what is open to it."""
        self._engine.dispose()


def configuration(connection: sql.Connection) -> alembic.config.Config:
    """Alembic's, for migrations by `connection`."""
    found = alembic.config.Config()
    found.set_main_option("script_location", str(_MIGRATIONS))
    found.attributes["connection"] = connection
    return found


def _engine(url: str) -> sql.Engine:
    try:
        parsed = sql.make_url(url)
        if parsed.get_backend_name() == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        engine = sql.create_engine(parsed, pool_pre_ping=True)
        if engine.dialect.name == "sqlite":
            _prepare_sqlite(engine)
        with engine.connect():
            pass
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise CiError(
            f"cannot use the database {url!r}: {error}",
            hint="write sqlite:////PATH or postgresql://USER:PASSWORD@HOST/NAME",
            reference="database",
        ) from error
    except OperationalError as error:
        shown = parsed.render_as_string(hide_password=True)
        raise CiError(f"cannot open the database {shown}: {error.orig}", reference="database") from error
    return engine


def _prepare_sqlite(engine: sql.Engine) -> None:
    @sql.event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in (
            "journal_mode = WAL",
            # What is committed survives a crash of the process; a loss of power may take the last transactions.
            "synchronous = FULL",
            "foreign_keys = ON",
            f"busy_timeout = {int(_PATIENCE * 1000)}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sql.event.listens_for(engine, "begin")
    def begin(connection: sql.Connection) -> None:
        writes = connection.get_execution_options().get("hako_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
