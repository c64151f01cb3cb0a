"""The registry behind `/v2` of the server: whose images are whose."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from ci.access.roles import Role
from ci.store import permissions, repositories, tokens, users
from ci.store.repositories import Repository
from ci.store.users import User
from tests.sandbox.registry.server.pushes import Peer

if TYPE_CHECKING:
    from flask import Flask

    from web.services import Services

NAME = "octo/hello"


@pytest.fixture
def ada(services: Services, repository: Repository) -> User:
    """Somebody who may write to the repository, which is public."""
    with services.database.write() as connection:
        user = users.add(connection, User(login="ada"))
        permissions.put(connection, user.id, repository.id, Role.WRITE)
    return user


def login(services: Services, user: User, role: Role = Role.ADMIN, name: str = "") -> str:
    """The header of `docker login` with a token that allows so much."""
    with services.database.write() as connection:
        _, made = tokens.make(connection, user.id, "t", role, services.clock())
    return "Basic " + base64.b64encode(f"{name or user.login}:{made.text}".encode()).decode()


def test_who_may_push_and_pull(app: Flask, services: Services, ada: User) -> None:
    """By the role for the repository, and by what the token allows; images below it are its, too."""
    peer = Peer(app, login(services, ada))
    manifest, digest = peer.image(NAME, "v1")
    peer.image(f"{NAME}/tools/lint", "v1")
    assert Peer(app)("GET", f"/v2/{NAME}/manifests/v1").data == manifest
    assert Peer(app, login(services, ada, Role.READ))("GET", f"/v2/{NAME}/manifests/v1").data == manifest
    refused = [
        peer("DELETE", f"/v2/{NAME}/manifests/{digest}"),
        peer("POST", "/v2/octo/else/blobs/uploads/"),
        peer("POST", "/v2/octo/blobs/uploads/"),
        Peer(app, login(services, ada, Role.READ))("POST", f"/v2/{NAME}/blobs/uploads/"),
    ]
    assert [response.status_code for response in refused] == [403] * 4
    strangers = (Peer(app), Peer(app, login(services, ada, name="bob")), Peer(app, "Basic YTpi"))
    assert [one("POST", f"/v2/{NAME}/blobs/uploads/").status_code for one in strangers] == [401] * 3
    with services.database.write() as connection:
        users.update(connection, ada.id, active=False)
    assert peer("POST", f"/v2/{NAME}/blobs/uploads/").status_code == 401


def test_private_images(app: Flask, services: Services, ada: User) -> None:
    """Nobody without a role learns that they are there; administrators of the server may do everything."""
    with services.database.write() as connection:
        hidden = Repository(
            forge="github", forge_url="https://github.com", forge_id="8", name="Octo/Hidden", private=True
        )
        repositories.add(connection, hidden)
        admin = users.add(connection, User(login="root", admin=True))
    owner = Peer(app, login(services, admin))
    _, digest = owner.image("octo/hidden", "v1")
    assert Peer(app)("GET", "/v2/octo/hidden/manifests/v1").status_code == 401
    assert Peer(app, login(services, ada))("GET", "/v2/octo/hidden/manifests/v1").status_code == 403
    assert owner("DELETE", f"/v2/octo/hidden/manifests/{digest}").status_code == 202
    with services.database.write() as connection:  # whose images those are is not to be told any more
        repositories.add(
            connection, Repository(forge="gitea", forge_url="https://gitea.example", forge_id="1", name="octo/hidden")
        )
    assert owner("POST", "/v2/octo/hidden/blobs/uploads/").status_code == 403


def test_tokens_of_the_registry(app: Flask, services: Services, ada: User) -> None:
    """Docker's way: a challenge that names the server, a token for the password, with what that allows; and pages are
    still pages.
    """
    challenge = Peer(app)("GET", "/v2/").headers["WWW-Authenticate"]
    assert f'realm="{services.settings.server_url}/v2/_token"' in challenge
    for role, expected in ((Role.READ, ["pull"]), (Role.WRITE, ["pull", "push"])):
        given = Peer(app, login(services, ada, role))(
            "GET", "/v2/_token", query={"scope": f"repository:{NAME}:pull,push,delete"}
        )
        bearer = Peer(app, f"Bearer {given.json['token']}")  # type: ignore[index]
        status = 202 if "push" in expected else 401
        assert bearer("POST", f"/v2/{NAME}/blobs/uploads/").status_code == status
    assert Peer(app)("GET", "/healthz").status_code == 200
    assert Peer(app)("GET", "/v2x").status_code == 404
