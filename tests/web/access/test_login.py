"""Logging in and out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from ci.access import passwords
from ci.access.oauth import Application
from ci.access.roles import Role
from ci.store import permissions, users
from ci.store.users import User
from tests.ci.forge.answering import Forge, forge
from web.application import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from ci.store.repositories import Repository
    from web.services import Services

PASSWORD = "correct horse"  # noqa: S105
OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def account(services: Services) -> User:
    """A local account."""
    with services.database.write() as connection:
        return users.add(connection, User(login="ada", password=passwords.keep(PASSWORD)))


def log_in(client: FlaskClient, login: str = "ada", password: str = PASSWORD, **form: str) -> TestResponse:
    """As the form does."""
    return client.post("/login", data={"login": login, "password": password, **form}, headers=OWN)


def test_by_password(client: FlaskClient, account: User) -> None:
    """The browser has a cookie that no script reads, pages show the name, and logging out ends the session itself."""
    response = log_in(client, next="/octo/hello?x=1")
    assert (response.status_code, response.location) == (302, "/octo/hello?x=1")
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    page = client.get("/login").text
    assert ">ada<" in page
    kept = client.get_cookie("hako")
    assert kept is not None
    token = page.partition('name="csrf_token" value="')[2].partition('"')[0]
    assert client.post("/logout", data={"csrf_token": token}).status_code == 302
    client.set_cookie("hako", kept.value)
    assert ">ada<" not in client.get("/login").text


def test_what_is_not_right(client: FlaskClient, services: Services, account: User) -> None:
    """One answer for a wrong name, a wrong password, a locked account and one of a forge."""
    with services.database.write() as connection:
        users.arrived(connection, User(login="mona", forge_url="https://github.com", forge_id="1"), 1.0)
        users.add(connection, User(login="old", password=account.password, active=False))
    answers = {log_in(client, *given).text for given in (("nobody",), ("ada", "wrong"), ("mona", ""), ("old",))}
    assert len(answers) == 1
    assert "The name or the password is not right." in answers.pop()
    assert client.get_cookie("hako") is None


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_another_site_logs_nobody_in(client: FlaskClient, account: User, headers: dict[str, str]) -> None:
    """With its own password neither: what is done then would be done in its account."""
    response = client.post("/login", data={"login": "ada", "password": PASSWORD}, headers=headers)
    assert response.status_code == 403
    assert client.get_cookie("hako") is None


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "/login", "/a\nb", ""]
)
def test_who_has_logged_in_stays_here(client: FlaskClient, account: User, target: str) -> None:
    """Whatever the address said."""
    assert log_in(client, next=target).location == "/"


def test_guessing_is_slowed_down(client: FlaskClient, account: User) -> None:
    """After ten attempts at an account, with a line that says when to try again; the right password is refused too."""
    for _ in range(10):
        assert log_in(client, password="wrong").status_code == 403  # noqa: S106
    response = log_in(client)
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 60


def test_a_session_ends_with_its_account(client: FlaskClient, services: Services, account: User) -> None:
    """At once."""
    log_in(client)
    with services.database.write() as connection:
        users.update(connection, account.id, active=False)
    assert ">ada<" not in client.get("/login").text


def test_over_https_the_cookie_is_this_hosts(services: Services, account: User) -> None:
    """Nobody else can set it, and it never goes unencrypted."""
    settings = dataclasses.replace(services.settings, server_url="https://ci.example.org")
    client = create_app(dataclasses.replace(services, settings=settings)).test_client()
    response = client.post(
        "/login", data={"login": "ada", "password": PASSWORD}, headers=OWN, base_url="https://ci.example.org"
    )
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("__Host-hako=")
    assert "Secure" in cookie
    assert "Strict-Transport-Security" in response.headers


class TestAtAForge:
    @pytest.fixture
    def github(self) -> Iterator[Forge]:
        """A GitHub Enterprise where mona may write to octo/hello."""
        with forge() as server:
            server.answer("POST /login/oauth/access_token", {"access_token": "gho_1"})
            server.answer("GET /api/v3/user", {"id": 5, "login": "mona"})
            server.answer(
                "GET /api/v3/user/repos?per_page=100&limit=50&page=1", [{"id": 7, "permissions": {"push": True}}]
            )
            yield server

    @pytest.fixture
    def client(self, services: Services, github: Forge) -> FlaskClient:
        """A browser at a server where people log in there."""
        application = Application(forge="github", forge_url=github.url, client_id="id", client_secret="quiet")  # noqa: S106
        settings = dataclasses.replace(services.settings, logins=(application,))
        return create_app(dataclasses.replace(services, settings=settings)).test_client()

    def begin(self, client: FlaskClient) -> str:
        """The state with which the browser is sent to the forge."""
        response = client.get("/login/github?next=/octo/hello")
        query = parse_qs(urlsplit(response.location).query)
        assert query["redirect_uri"] == ["http://127.0.0.1:8080/login/github/done"]
        return query["state"][0]

    def test_somebody_comes_back(
        self, client: FlaskClient, services: Services, github: Forge, repository: Repository
    ) -> None:
        """Has an account with the roles that he has there; his token is kept encrypted."""
        with services.database.write() as connection:
            connection.exec_driver_sql("UPDATE repositories SET forge_url = ?", (github.url,))
        assert "Log in by 127.0.0.1" in client.get("/login").text
        state = self.begin(client)
        response = client.get(f"/login/github/done?code=c&state={state}")
        assert (response.status_code, response.location) == (302, "/octo/hello")
        assert ">mona<" in client.get("/login").text
        with services.database.read() as connection:
            user = users.find(connection, "mona", forge_url=github.url)
            assert permissions.of(connection, user.id, repository.id) is Role.WRITE
        assert "gho_1" not in user.token
        assert services.keyring.decrypt(user.token, f"token of 5 at {github.url}") == "gho_1"

    def test_an_attempt_is_one_browsers_and_once(self, client: FlaskClient) -> None:
        """A state that another browser has begun, that was used, or that nobody has begun, logs nobody in."""
        state = self.begin(client)
        stranger = client.application.test_client()
        assert stranger.get(f"/login/github/done?code=c&state={state}").status_code == 403
        assert client.get(f"/login/github/done?code=c&state={state}").status_code == 403  # it was taken
        assert client.get("/login/github/done?code=c&state=invented").status_code == 403
        assert client.get("/login/github/done?code=c").status_code == 403

    def test_somebody_who_says_no(self, client: FlaskClient) -> None:
        """Is told what the forge says, as text."""
        state = self.begin(client)
        page = client.get(
            f"/login/github/done?error=access_denied&error_description=<b>&state={state}",
            headers={"Accept": "text/html"},
        )
        assert page.status_code == 403
        assert "&lt;b&gt;" in page.text

    def test_a_forge_that_does_not_answer(self, client: FlaskClient, github: Forge) -> None:
        """Is named, with the status of a gateway."""
        state = self.begin(client)
        github.answer("GET /api/v3/user", {}, status=502)
        assert client.get(f"/login/github/done?code=c&state={state}").status_code == 502

    def test_a_locked_account(self, client: FlaskClient, services: Services, github: Forge) -> None:
        """Is not logged in, whatever the forge says."""
        with services.database.write() as connection:
            user = users.arrived(connection, User(login="mona", forge_url=github.url, forge_id="5"), 1.0)
            users.update(connection, user.id, active=False)
        assert client.get(f"/login/github/done?code=c&state={self.begin(client)}").status_code == 403

    def test_a_forge_that_is_not_there(self, client: FlaskClient) -> None:
        """404."""
        assert client.get("/login/gitlab").status_code == 404
