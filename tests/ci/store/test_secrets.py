"""Secrets in the tables."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sql
from cryptography.fernet import Fernet

from ci.errors import CiError
from ci.pipeline.event import EventKind
from ci.secrets.choosing import Secret
from ci.secrets.keyring import Keyring
from ci.store import secrets
from ci.store.schema import secrets as table
from ci.store.secrets import Scope

if TYPE_CHECKING:
    from ci.store.database import Database
    from ci.store.repositories import Repository

RING = Keyring([Fernet.generate_key().decode()])
TOKEN = Secret(name="token", value="hunter2", events=frozenset({EventKind.PUSH}), branches=("main",), images=("a",))


def test_a_repository_sees_its_own_its_owners_and_the_servers(database: Database, repository: Repository) -> None:
    """With their values, which the tables do not show; not those of others."""
    owners, servers = Scope(forge_url=repository.forge_url, owner="octo"), Scope()
    others = Scope(forge_url=repository.forge_url, owner="other")
    with database.write() as connection:
        for scope, value in ((Scope(repository=repository), "1"), (owners, "2"), (servers, "3"), (others, "4")):
            secrets.put(connection, RING, scope, dataclasses.replace(TOKEN, value=value), 1.0)
        found = secrets.visible(connection, RING, repository)
        assert [(one.value, one.nearness) for one in found] == [("1", 2), ("2", 1), ("3", 0)]
        assert found[0] == dataclasses.replace(TOKEN, value="1", repository="octo/hello")
        for row in connection.execute(sql.select(table)):
            assert "hunter" not in str(row)
        assert secrets.listed(connection, owners) == (dataclasses.replace(TOKEN, value="", owner="octo"),)


def test_a_secret_is_changed_and_removed(database: Database, repository: Repository) -> None:
    """By its name; one that is not there is said."""
    scope = Scope(repository=repository)
    with database.write() as connection:
        for value in ("1", "2"):
            secrets.put(connection, RING, scope, dataclasses.replace(TOKEN, value=value), 1.0)
        (found,) = secrets.visible(connection, RING, repository)
        assert found.value == "2"
        secrets.remove(connection, scope, "token")
        assert secrets.visible(connection, RING, repository) == ()
        with pytest.raises(CiError, match="octo/hello has no secret token"):
            secrets.remove(connection, scope, "token")


def test_a_row_that_was_moved_cannot_be_read(database: Database, repository: Repository) -> None:
    """What is encrypted says whose it is."""
    with database.write() as connection:
        secrets.put(connection, RING, Scope(), TOKEN, 1.0)
        connection.execute(sql.update(table).values(repository_id=repository.id))
        with pytest.raises(CiError, match="was made for"):
            secrets.visible(connection, RING, repository)


def test_all_are_encrypted_anew(database: Database, repository: Repository) -> None:
    """Then the former key is not needed any more."""
    former, newest = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    with database.write() as connection:
        secrets.put(connection, Keyring([former]), Scope(), TOKEN, 1.0)
        assert secrets.renew(connection, Keyring([newest, former])) == 1
        (found,) = secrets.visible(connection, Keyring([newest]), repository)
    assert found.value == TOKEN.value


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "1x"}, "is no name of a secret"),
        ({"name": "a b"}, "is no name of a secret"),
        ({"value": ""}, "is empty or too long"),
        ({"branches": ("[",)}, "the branch pattern"),
    ],
)
def test_bad_secrets(database: Database, change: dict[str, object], complaint: str) -> None:
    """A line says what is wrong, without the value."""
    with database.write() as connection, pytest.raises(CiError, match=complaint) as caught:
        secrets.put(connection, RING, Scope(), dataclasses.replace(TOKEN, **change), 1.0)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)
