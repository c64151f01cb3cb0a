"""Opening and migrating the database."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import alembic.autogenerate
import alembic.migration
import pytest
import sqlalchemy as sql

from ci.errors import CiError
from ci.store.database import Database
from ci.store.schema import METADATA

if TYPE_CHECKING:
    from pathlib import Path


def test_migrations_make_the_tables_of_the_schema(database: Database) -> None:
    """Nothing is missing and nothing differs; to migrate again changes nothing."""
    database.migrate()
    with database.read() as connection:
        context = alembic.migration.MigrationContext.configure(connection, opts={"compare_type": True})
        assert alembic.autogenerate.compare_metadata(context, METADATA) == []


def test_several_migrate_at_once(url: str) -> None:
    """Servers that start together wait for one another."""
    failures: list[BaseException] = []

    def migrate() -> None:
        try:
            database = Database(url)
            database.migrate()
            database.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_database_of_a_later_version_is_refused(database: Database) -> None:
    """With a line that says so, and unchanged."""
    with database.write() as connection:
        connection.execute(sql.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CiError, match="another version of Hako") as caught:
        database.migrate()
    assert caught.value.reference == "database-version"


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    """Not even the number that it took."""
    with pytest.raises(RuntimeError), database.write() as connection:
        connection.execute(sql.text("DELETE FROM alembic_version"))
        raise RuntimeError
    with database.read() as connection:
        assert connection.execute(sql.text("SELECT count(*) FROM alembic_version")).scalar_one() == 1


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("nonsense", "cannot use the database 'nonsense'"),
        ("oracle://x", "cannot use the database 'oracle://x'"),
        ("sqlite:////nonesuch/x.db", "cannot open the database"),
        ("postgresql://u:secret@127.0.0.1:1/x", "cannot open the database"),
    ],
)
def test_what_cannot_be_opened(url: str, complaint: str) -> None:
    """One line, without the password."""
    with pytest.raises(CiError, match=complaint) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_readers_and_a_writer_of_one_file(tmp_path: Path) -> None:
    """Who reads sees the state before, and holds nobody up."""
    database = Database(f"sqlite:///{tmp_path}/x.db")
    with database.write() as connection:
        connection.execute(sql.text("CREATE TABLE t (n INTEGER)"))
    with database.write() as writer, database.read() as reader:
        writer.execute(sql.text("INSERT INTO t VALUES (1)"))
        assert reader.execute(sql.text("SELECT count(*) FROM t")).scalar_one() == 0
    with database.read() as reader:
        assert reader.execute(sql.text("SELECT count(*) FROM t")).scalar_one() == 1
    database.close()
