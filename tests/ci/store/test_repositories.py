"""Repositories, and what was delivered of them."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

import pytest

from ci.errors import CiError
from ci.pipeline.event import Event
from ci.store import deliveries, repositories

if TYPE_CHECKING:
    from ci.store.database import Database
    from ci.store.repositories import Repository


def test_a_repository_is_found_by_its_name(database: Database, repository: Repository) -> None:
    """With all that it was added with; another of the name at another forge makes the name ambiguous."""
    other = dataclasses.replace(repository, id=0, forge="gitea", forge_url="https://gitea.example", forge_id="1")
    with database.write() as connection:
        assert repositories.find(connection, "octo/hello") == repository
        added = repositories.add(connection, other)
        with pytest.raises(CiError, match=r"several repositories.*gitea\.example"):
            repositories.find(connection, "octo/hello")
        assert repositories.find(connection, "octo/hello", forge_url="https://gitea.example") == added
        assert repositories.every(connection) == (added, repository)


def test_one_that_is_not_there(database: Database) -> None:
    """A line that says so."""
    with database.read() as connection:
        with pytest.raises(CiError, match="no repository 5"):
            repositories.get(connection, 5)
        with pytest.raises(CiError, match="no repository no/such"):
            repositories.find(connection, "no/such")


def test_a_repository_is_added_once(database: Database, repository: Repository) -> None:
    """The transaction goes on after the refusal."""
    with database.write() as connection:
        with pytest.raises(CiError, match="here already"):
            repositories.add(connection, dataclasses.replace(repository, id=0, name="octo/renamed"))
        changed = repositories.update(connection, repository.id, name="octo/renamed", settings={"timeout": 60})
        assert (changed.name, changed.settings) == ("octo/renamed", {"timeout": 60})


def test_a_delivery_is_taken_once(database: Database, repository: Repository) -> None:
    """Of several that claim it at once one gets it; what came of it is noted; old ones are forgotten."""
    taken: list[int | None] = []
    event = Event(branch="main")

    def take() -> None:
        with database.write() as connection:
            taken.append(deliveries.take(connection, repository.id, "guid", 10.0, event))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (identifier,) = [one for one in taken if one is not None]
    with database.write() as connection:
        found = deliveries.get(connection, identifier)
        assert found is not None
        assert found.event == event
        assert deliveries.waiting(connection, 11.0) == (identifier,)
        assert deliveries.handle(connection, identifier, "build 1")
        assert not deliveries.handle(connection, identifier, "build 2")
        assert deliveries.waiting(connection, 11.0) == ()
        assert deliveries.forget(connection, 10.0) == 0
        assert deliveries.forget(connection, 11.0) == 1
        assert deliveries.get(connection, identifier) is None
        assert deliveries.take(connection, repository.id, "guid", 12.0, None, "nothing to do") is not None
        assert deliveries.waiting(connection, 13.0) == ()
