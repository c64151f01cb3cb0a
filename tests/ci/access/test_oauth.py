"""Logging in at a forge."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from ci.access.oauth import Application, Login
from ci.access.roles import Role
from ci.forge.client import ForgeError
from ci.store.users import User
from tests.ci.forge.answering import Forge, forge

if TYPE_CHECKING:
    from collections.abc import Iterator

BACK = "https://hako.example/login/github/done"


@pytest.fixture
def github() -> Iterator[Forge]:
    """A GitHub Enterprise."""
    with forge() as server:
        yield server


@pytest.fixture
def login(github: Forge) -> Login:
    """The server's application there."""
    return Login(Application(forge="github", forge_url=github.url, client_id="id", client_secret="quiet"))  # noqa: S106


def test_the_browser_is_sent_to_the_forge(login: Login, github: Forge) -> None:
    """With a state and a challenge of which only this server knows the answer; never with the secret."""
    attempt = login.begin(BACK)
    assert attempt.url.startswith(f"{github.url}/login/oauth/authorize?")
    query = {name: values[0] for name, values in parse_qs(urlsplit(attempt.url).query).items()}
    assert (query["client_id"], query["redirect_uri"], query["state"]) == ("id", BACK, attempt.state)
    expected = base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest()).decode().rstrip("=")
    assert (query["code_challenge_method"], query["code_challenge"]) == ("S256", expected)
    assert "quiet" not in attempt.url
    assert login.begin(BACK).state != attempt.state


def test_a_code_becomes_somebody(login: Login, github: Forge) -> None:
    """The forge is asked for the token, then who it is of and what he may do."""
    github.answer("POST /login/oauth/access_token", {"access_token": "gho_1", "token_type": "bearer"})
    github.answer("GET /api/v3/user", {"id": 5, "login": "mona", "email": None, "avatar_url": "javascript:alert(1)"})
    rights = [{"pull": True}, {"pull": True, "push": True}, {"admin": True, "push": True}, {}, "nonsense"]
    github.answer(
        "GET /api/v3/user/repos?per_page=100&limit=50&page=1",
        [{"id": number, "permissions": one} for number, one in enumerate(rights, 1)],
    )
    token = login.token("code", BACK, "verifier")
    assert token == "gho_1"  # noqa: S105
    assert github.said[0].body["code_verifier"] == "verifier"
    assert login.user(token) == User(login="mona", forge_url=github.url, forge_id="5")
    assert github.said[1].headers["Authorization"] == "Bearer gho_1"
    assert login.roles(token) == {"1": Role.READ, "2": Role.WRITE, "3": Role.ADMIN, "4": Role.NONE, "5": Role.NONE}


def test_a_code_that_is_refused(login: Login, github: Forge) -> None:
    """GitHub says so with the status 200; its words are passed on."""
    github.answer("POST /login/oauth/access_token", {"error": "bad_verification_code", "error_description": "expired"})
    with pytest.raises(ForgeError, match="refuses the log-in: expired"):
        login.token("code", BACK, "verifier")


def test_an_answer_that_names_nobody(login: Login, github: Forge) -> None:
    """Logs nobody in."""
    github.answer("GET /api/v3/user", {"login": "mona"})
    with pytest.raises(ForgeError, match="does not say who"):
        login.user("token")
