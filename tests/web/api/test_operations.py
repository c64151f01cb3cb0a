"""The REST API, as a program uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.access.roles import Role
from ci.pipeline.event import Event, EventKind
from ci.store import builds, releasing, repositories, secrets, stages
from ci.store.records import Stage, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask.testing import FlaskClient

    from ci.store.repositories import Repository
    from web.services import Services

    Bearer = Callable[..., dict[str, str]]

API = "/api/v1"


def test_builds(client: FlaskClient, services: Services, repository: Repository) -> None:
    """Are listed by parts and filters, and shown with their Stages."""
    planned = (Stage(number=1, name="test", matrix={"go": "1"}, steps=(Step(number=1, name="go test"),)),)
    for number in range(5):
        with services.database.write() as connection:
            event = Event(branch="main" if number % 2 else "next", message="Fix it\n\nWell.", author_login="octo")
            build = builds.create(connection, repository.id, event, planned, 100.0)
            first = stages.of_build(connection, build.id)[0]
            releasing.mark_ready(connection, [first.id], 100.0)
            releasing.release(connection, repository.id, 100.0)
            stages.accept(connection, first.id, "r1", 101.0)
    url = f"{API}/repos/octo/hello/builds"
    assert [one["number"] for one in client.get(f"{url}?limit=2&before=5").get_json()] == [4, 3]
    assert [one["number"] for one in client.get(f"{url}?branch=main&event=push&state=running").get_json()] == [4, 2]
    found = client.get(f"{url}/1").get_json()
    assert (found["title"], found["message"], found["state"]) == ("Fix it", "Fix it\n\nWell.", "running")
    assert found["stages"][0]["matrix"] == {"go": "1"}
    assert found["stages"][0]["steps"][0]["name"] == "go test"
    assert client.get(f"{url}/9").status_code == 404


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=0", "`int` >= 1 - at `$.limit`"),
        ("limit=x", "at `$.limit`"),
        ("state=nonsense", "Invalid enum value 'nonsense'"),
        ("other=1", "unknown field `other`"),
    ],
)
def test_queries_that_make_no_sense(client: FlaskClient, repository: Repository, query: str, words: str) -> None:
    """Are told so."""
    response = client.get(f"{API}/repos/octo/hello/builds?{query}")
    assert response.status_code == 400
    assert words in response.get_json()["error"]["message"]


def test_repositories(client: FlaskClient, bearer: Bearer) -> None:
    """Are added by an administrator, found by a search, changed by who is their admin."""
    admin = bearer("root", admin=True)
    new = {"name": "octo/new", "clone_url": "https://github.com/octo/new.git", "forge": "github", "forge_id": "9"}
    assert client.post(f"{API}/repos", json=new).status_code == 401
    assert client.post(f"{API}/repos", json=new, headers=bearer("ada")).status_code == 403
    made = client.post(f"{API}/repos", json=new, headers=admin)
    assert (made.status_code, made.get_json()["private"]) == (201, True)
    assert client.post(f"{API}/repos", json=new, headers=admin).status_code == 409
    assert client.get(f"{API}/repos").get_json() == []
    assert [one["name"] for one in client.get(f"{API}/repos?q=NEW", headers=admin).get_json()] == ["octo/new"]
    changed = client.patch(
        f"{API}/repos/octo/new", json={"private": False, "settings": {"approval": "all"}}, headers=admin
    ).get_json()
    assert (changed["private"], changed["settings"]) == (False, {"approval": "all"})
    assert (
        client.patch(f"{API}/repos/octo/new", json={"settings": {"approval": None}}, headers=admin).get_json()[
            "settings"
        ]
        == {}
    )
    assert client.get(f"{API}/repos/octo/new").get_json()["role"] == "read"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"settings": {"approval": "perhaps"}}, "the repository's settings"),
        ({"clone_url": "--upload-pack=x"}, "is not the URL of a repository"),
        ({"clone_url": "file:///etc\n"}, "is not the URL of a repository"),
        ({"nonsense": 1}, "unknown field `nonsense`"),
        ({"active": "yes"}, "Expected `bool | null`, got `str`"),
    ],
)
def test_changes_that_make_no_sense(
    client: FlaskClient, repository: Repository, bearer: Bearer, body: dict[str, object], words: str
) -> None:
    """Change nothing."""
    headers = bearer("ada", repository=repository, role=Role.ADMIN)
    response = client.patch(f"{API}/repos/octo/hello", json=body, headers=headers)
    assert response.status_code == 400
    assert words in response.get_json()["error"]["message"]


def test_trust_is_the_servers(client: FlaskClient, services: Services, repository: Repository, bearer: Bearer) -> None:
    """A repository's own admin does not give it."""
    headers = bearer("ada", repository=repository, role=Role.ADMIN)
    assert client.patch(f"{API}/repos/octo/hello", json={"trusted": True}, headers=headers).status_code == 403
    root = bearer("root", admin=True)
    assert client.patch(f"{API}/repos/octo/hello", json={"trusted": True}, headers=root).status_code == 200
    with services.database.read() as connection:
        assert repositories.get(connection, repository.id).trusted


def test_secrets(client: FlaskClient, services: Services, repository: Repository, bearer: Bearer) -> None:
    """Are put and removed; nobody reads a value back, and nobody below admin their names."""
    headers = bearer("ada", repository=repository, role=Role.ADMIN)
    url = f"{API}/repos/octo/hello/secrets"
    body = {"value": "hunter2", "events": ["push", "tag"], "branches": ["main"]}
    assert client.put(f"{url}/token", json=body, headers=headers).status_code == 204
    listed = client.get(url, headers=headers)
    assert listed.get_json() == [{"name": "token", "events": ["push", "tag"], "branches": ["main"], "images": []}]
    assert b"hunter2" not in listed.data
    with services.database.read() as connection:
        (found,) = secrets.visible(connection, services.keyring, repository)
    assert found.value == "hunter2"
    assert found.events == {EventKind.PUSH, EventKind.TAG}
    writer = bearer("bob", repository=repository, role=Role.WRITE)
    assert client.get(url, headers=writer).status_code == 403
    assert client.put(f"{url}/-x", json=body, headers=headers).status_code == 400
    assert client.delete(f"{url}/token", headers=headers).status_code == 204
    assert client.delete(f"{url}/token", headers=headers).status_code == 404


def test_tokens(client: FlaskClient, bearer: Bearer) -> None:
    """Are made, used, and removed; one makes none that may do more than itself."""
    headers = bearer("ada")
    made = client.post(f"{API}/user/tokens", json={"name": "laptop", "role": "read", "days": 1}, headers=headers)
    assert made.status_code == 201
    mine = {"Authorization": f"Bearer {made.get_json()['text']}"}
    assert client.get(f"{API}/user", headers=mine).get_json()["login"] == "ada"
    assert client.post(f"{API}/user/tokens", json={"name": "x", "role": "write"}, headers=mine).status_code == 403
    assert [one["name"] for one in client.get(f"{API}/user/tokens", headers=mine).get_json()] == ["test", "laptop"]
    assert client.delete(f"{API}/user/tokens/{made.get_json()['id']}", headers=headers).status_code == 204
    assert client.get(f"{API}/user", headers=mine).status_code == 401


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"name": 1}', b"\xff", b"[" * 100_000])
def test_bodies_that_are_none(client: FlaskClient, bearer: Bearer, data: bytes) -> None:
    """Are told so."""
    headers = bearer("ada") | {"Content-Type": "application/json"}
    assert client.post(f"{API}/user/tokens", data=data, headers=headers).status_code == 400
    assert client.post(f"{API}/user/tokens", data=data, headers=bearer("bob")).status_code == 400


def test_strangers_are_limited(client: FlaskClient, repository: Repository) -> None:
    """By their address."""
    answers = [client.get(f"{API}/repos").status_code for _ in range(121)]
    assert answers[:120] == [200] * 120
    assert answers[120] == 429


def test_decisions(client: FlaskClient, services: Services, repository: Repository, bearer: Bearer) -> None:
    """Who may write approves, declines and cancels; what is decided is not decided again."""
    planned = (Stage(number=1, name="test", steps=(Step(number=1, name="go"),)),)
    for _ in range(2):
        with services.database.write() as connection:
            builds.create(connection, repository.id, Event(branch="main"), planned, 100.0, blocked=True)
    url = f"{API}/repos/octo/hello/builds"
    ada = bearer("ada", repository=repository, role=Role.WRITE)
    assert client.post(f"{url}/1/approve", headers=bearer("bob")).status_code == 403
    approved = client.post(f"{url}/1/approve", headers=ada).get_json()
    assert (approved["state"], approved["decided_by"]) == ("pending", "ada")
    assert client.post(f"{url}/1/approve", headers=ada).status_code == 409
    assert client.post(f"{url}/1/cancel", headers=ada).get_json()["state"] == "killed"
    assert client.post(f"{url}/1/cancel", headers=ada).status_code == 409
    assert client.post(f"{url}/1/deploy", json={"target": "production"}, headers=ada).status_code == 409
    assert client.post(f"{url}/1/deploy", json={"target": ""}, headers=ada).status_code == 400
    assert client.post(f"{url}/1/restart", headers=ada).get_json()["state"] == "pending"
    assert client.post(f"{url}/1/restart", headers=ada).status_code == 409
    assert client.post(f"{url}/2/decline", headers=ada).get_json()["state"] == "declined"
    assert client.post(f"{url}/9/cancel", headers=ada).status_code == 404
    assert client.post(f"{url}/1/explode", headers=ada).status_code == 405


def test_hooks(client: FlaskClient, repository: Repository, bearer: Bearer) -> None:
    """Where the forge is to send them, and the secret, which is renewed; only for who is admin of the repository."""
    ada = bearer("ada", repository=repository, role=Role.ADMIN)
    url = f"{API}/repos/octo/hello/hook"
    first = client.post(url, headers=ada).get_json()
    assert first["url"] == f"http://127.0.0.1:8080/hooks/{repository.id}"
    assert client.get(url, headers=ada).get_json() == first
    assert client.post(url, headers=ada).get_json()["secret"] != first["secret"]
    assert client.get(url, headers=bearer("bob", repository=repository, role=Role.WRITE)).status_code == 403
    assert client.put(f"{API}/repos/octo/hello/token", json={"token": "ghp_x"}, headers=ada).status_code == 204
    assert client.put(f"{API}/repos/octo/hello/token", json={"token": "a\r\nb"}, headers=ada).status_code == 400
