"""Accounts, their roles, sessions and API tokens."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from ci.access import credentials
from ci.access.roles import Role
from ci.errors import CiError
from ci.store import permissions, repositories, sessions, tokens, users
from ci.store.users import User

if TYPE_CHECKING:
    from ci.store.database import Database
    from ci.store.repositories import Repository

GITHUB = "https://github.com"
MONA = User(login="mona", forge_url=GITHUB, forge_id="1", email="mona@example.org", token="encrypted")  # noqa: S106


def test_a_local_account(database: Database) -> None:
    """Is found by its name, has it to itself, and is changed."""
    with database.write() as connection:
        added = users.add(connection, User(login="root", password="kept", admin=True))  # noqa: S106
        assert users.find(connection, "root") == users.get(connection, added.id) == added
        with pytest.raises(CiError, match="an account root already"):
            users.add(connection, User(login="root"))
        assert users.update(connection, added.id, active=False).active is False
        with pytest.raises(CiError, match="no account nobody"):
            users.find(connection, "nobody")


@pytest.mark.parametrize("login", ["", "a b", "-x", "../x", "x" * 65, "<b>"])
def test_bad_names(database: Database, login: str) -> None:
    """A line that says what a name is."""
    with database.write() as connection, pytest.raises(CiError, match="is no name of an account"):
        users.add(connection, User(login=login))


def test_who_logs_in_at_a_forge(database: Database) -> None:
    """Has one account by the forge's id, whatever his name is by now; one that is an administrator here stays so."""
    with database.write() as connection:
        first = users.arrived(connection, MONA, 10.0)
        assert (first.created, first.seen) == (10.0, 10.0)
        users.update(connection, first.id, admin=True)
        again = users.arrived(connection, dataclasses.replace(MONA, login="lisa"), 20.0)
        assert (again.id, again.login, again.admin, again.created, again.seen) == (first.id, "lisa", True, 10.0, 20.0)


def test_a_name_that_another_has_taken_over(database: Database) -> None:
    """Is his from now on; the account that had it keeps what it may do, under another name."""
    with database.write() as connection:
        first = users.arrived(connection, MONA, 1.0)
        other = users.arrived(connection, dataclasses.replace(MONA, forge_id="2"), 2.0)
        assert other.id != first.id
        assert users.get(connection, first.id).login == "mona~1"
        assert [user.login for user in users.every(connection)] == ["mona", "mona~1"]


def test_roles_are_the_forges(database: Database, repository: Repository) -> None:
    """They replace the former ones; what is not built here does not matter; others' stay."""
    with database.write() as connection:
        mona, lisa = (
            users.arrived(connection, dataclasses.replace(MONA, login=name, forge_id=name), 1.0)
            for name in ("mona", "lisa")
        )
        permissions.put(connection, lisa.id, repository.id, Role.READ)
        permissions.replace(connection, mona, {"7": Role.WRITE, "8": Role.ADMIN}, 5.0)
        assert permissions.of(connection, mona.id, repository.id) is Role.WRITE
        assert users.get(connection, mona.id).synchronized == 5.0
        permissions.replace(connection, mona, {}, 6.0)
        assert permissions.of(connection, mona.id, repository.id) is Role.NONE
        assert permissions.of(connection, lisa.id, repository.id) is Role.READ
        permissions.put(connection, lisa.id, repository.id, Role.NONE)
        assert permissions.of(connection, lisa.id, repository.id) is Role.NONE


def test_who_sees_which_repositories(database: Database, repository: Repository) -> None:
    """Strangers what is public, accounts what they have a role for as well, administrators everything."""
    with database.write() as connection:
        private = repositories.add(
            connection, dataclasses.replace(repository, id=0, forge_id="8", name="octo/private", private=True)
        )
        mona = users.arrived(connection, MONA, 1.0)
        assert permissions.readable(connection, None) == (repository,)
        assert permissions.readable(connection, mona) == (repository,)
        permissions.put(connection, mona.id, private.id, Role.READ)
        assert permissions.readable(connection, mona) == (repository, private)
        assert permissions.readable(connection, dataclasses.replace(mona, active=False)) == (repository,)
        assert permissions.readable(connection, users.add(connection, User(login="a", admin=True))) == (
            repository,
            private,
        )


def test_a_session(database: Database) -> None:
    """Lasts while it is used, to a limit; ends with logging out, and with the account. Its text is not stored."""
    with database.write() as connection:
        mona = users.arrived(connection, MONA, 0.0)
        text = sessions.begin(connection, mona.id, 0.0).text
        assert sessions.user(connection, text, 1.0) == (mona, False)
        assert sessions.user(connection, text, 301.0) == (mona, True)
        assert sessions.user(connection, credentials.digest(text), 1.0) is None
        assert sessions.user(connection, text, sessions.IDLE + 1) is None
        sessions.note(connection, text, sessions.LONGEST)
        assert sessions.user(connection, text, sessions.LONGEST) == (mona, False)
        assert sessions.user(connection, text, sessions.LONGEST + 1) is None
        users.update(connection, mona.id, active=False)
        assert sessions.user(connection, text, 1.0) is None
        users.update(connection, mona.id, active=True)
        other = sessions.begin(connection, mona.id, 0.0).text
        sessions.end(connection, text)
        assert sessions.user(connection, text, 1.0) is None
        sessions.end_all(connection, mona.id)
        assert sessions.user(connection, other, 1.0) is None


def test_sessions_that_are_over_are_forgotten(database: Database) -> None:
    """And only these."""
    with database.write() as connection:
        mona = users.arrived(connection, MONA, 0.0)
        sessions.begin(connection, mona.id, 0.0)
        kept = sessions.begin(connection, mona.id, sessions.IDLE)
        assert sessions.forget(connection, sessions.IDLE + 1) == 1
        assert sessions.user(connection, kept.text, sessions.IDLE + 1) is not None


def test_an_api_token(database: Database) -> None:
    """Is somebody's until it is removed or its time is over; lists show how it begins."""
    with database.write() as connection:
        mona = users.arrived(connection, MONA, 0.0)
        token, made = tokens.make(connection, mona.id, " my  laptop ", Role.WRITE, 0.0, expires=500.0)
        assert (token.name, token.beginning) == ("my laptop", made.text[:9])
        assert made.text.startswith("hako_")
        assert tokens.user(connection, made.text, 1.0) == (mona, token, False)
        assert tokens.user(connection, made.text, 301.0) == (mona, token, True)
        tokens.note(connection, token.id, 301.0)
        assert tokens.of_user(connection, mona.id) == (dataclasses.replace(token, used=301.0),)
        assert tokens.user(connection, made.text, 500.0) is None
        assert tokens.user(connection, made.text + "x", 1.0) is None
        with pytest.raises(CiError, match="no token"):
            tokens.remove(connection, mona.id + 1, token.id)
        tokens.remove(connection, mona.id, token.id)
        assert tokens.user(connection, made.text, 1.0) is None
        with pytest.raises(CiError, match="a token has a name"):
            tokens.make(connection, mona.id, " ", Role.READ, 0.0)
