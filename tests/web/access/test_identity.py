"""Who makes a request, and what he may do with a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.access.roles import Role
from ci.store import permissions, repositories, sessions, tokens, users
from ci.store.users import User
from web.access import gate, identity

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient

    from ci.store.repositories import Repository
    from web.services import Services


@pytest.fixture
def ada(services: Services) -> User:
    """An account."""
    with services.database.write() as connection:
        return users.add(connection, User(login="ada"))


@pytest.fixture
def browser(app: Flask, services: Services, ada: User) -> FlaskClient:
    """Her browser; the application has an endpoint that changes something, and one for each role."""

    def change() -> dict[str, str]:
        return {"who": gate.member().login}

    def touch(role: str) -> dict[str, str]:
        return {"name": gate.repository("octo/hello", Role(role)).name}

    app.add_url_rule("/api/change", view_func=change, methods=["POST"])
    app.add_url_rule("/api/touch/<role>", view_func=touch)
    app.add_url_rule("/api/admin", view_func=lambda: {"who": gate.administrator().login})
    client = app.test_client()
    with services.database.write() as connection:
        session = sessions.begin(connection, ada.id, services.clock())
    client.set_cookie("hako", session.text)
    return client


def bearer(services: Services, user: User, role: Role = Role.ADMIN, *, expires: float = 0.0) -> dict[str, str]:
    """The header of a token."""
    with services.database.write() as connection:
        _, made = tokens.make(connection, user.id, "t", role, services.clock(), expires=expires)
    return {"Authorization": f"Bearer {made.text}"}


@pytest.mark.parametrize(
    ("headers", "with_token", "status"),
    [
        ({}, True, 200),
        ({"Sec-Fetch-Site": "same-origin"}, True, 200),
        ({}, False, 403),
        ({"Sec-Fetch-Site": "same-origin"}, False, 403),
        ({"Sec-Fetch-Site": "cross-site"}, True, 403),
        ({"Sec-Fetch-Site": "same-site"}, True, 403),
        ({"Origin": "https://evil.example"}, True, 403),
        ({"Origin": "null"}, True, 403),
        ({"Origin": "http://localhost"}, True, 200),
    ],
)
def test_changes_by_a_cookie(browser: FlaskClient, headers: dict[str, str], with_token: bool, status: int) -> None:
    """Need the session's CSRF token, and no word of another site."""
    cookie = browser.get_cookie("hako")
    assert cookie is not None
    form = {"csrf_token": identity.Identity(session=cookie.value).csrf_token} if with_token else {}
    assert browser.post("/api/change", data=form, headers=headers).status_code == status


def test_scripts_send_it_in_a_header(browser: FlaskClient) -> None:
    """And JSON in the body."""
    cookie = browser.get_cookie("hako")
    assert cookie is not None
    headers = {"X-CSRF-Token": identity.Identity(session=cookie.value).csrf_token}
    assert browser.post("/api/change", json={}, headers=headers).json == {"who": "ada"}


def test_tokens(app: Flask, services: Services, ada: User, browser: FlaskClient) -> None:
    """Need no CSRF token; one that is not in force is refused, not taken for a stranger's."""
    client = app.test_client()
    assert client.post("/api/change", headers=bearer(services, ada)).json == {"who": "ada"}
    assert client.post("/api/change").status_code == 401
    for text in ("Bearer hako_invented", "Bearer ", "Basic YTpi", "nonsense"):
        response = client.get("/api/touch/read", headers={"Authorization": text})
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
    old = bearer(services, ada, expires=1.0)
    assert client.get("/api/touch/read", headers=old).status_code == 401


def test_roles(app: Flask, services: Services, ada: User, browser: FlaskClient, repository: Repository) -> None:
    """A token gives no more than its own role; who may see something and not change it is told so."""
    client = app.test_client()
    assert client.get("/api/touch/read").status_code == 200
    assert client.get("/api/touch/write").status_code == 401
    assert browser.get("/api/touch/write").status_code == 403
    with services.database.write() as connection:
        permissions.put(connection, ada.id, repository.id, Role.ADMIN)
    assert browser.get("/api/touch/admin").status_code == 200
    limited = bearer(services, ada, Role.WRITE)
    assert client.get("/api/touch/write", headers=limited).status_code == 200
    assert client.get("/api/touch/admin", headers=limited).status_code == 403


def test_a_private_repository_does_not_exist_for_strangers(
    app: Flask, services: Services, browser: FlaskClient, repository: Repository
) -> None:
    """The answer is the one for a repository that is not there, to the last byte."""
    client = app.test_client()
    with services.database.write() as connection:
        repositories.update(connection, repository.id, private=True)
    refused = client.get("/api/touch/read")
    with services.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM repositories")
    missing = client.get("/api/touch/read")
    assert (refused.status_code, refused.data) == (missing.status_code, missing.data)
    assert refused.status_code == 404


def test_administrators(app: Flask, services: Services, browser: FlaskClient, ada: User) -> None:
    """Of the server; a token with a lesser role is none of theirs."""
    assert browser.get("/api/admin").status_code == 403
    with services.database.write() as connection:
        users.update(connection, ada.id, admin=True)
    assert browser.get("/api/admin").json == {"who": "ada"}
    assert app.test_client().get("/api/admin", headers=bearer(services, ada, Role.WRITE)).status_code == 403
    assert app.test_client().get("/api/admin").status_code == 401
