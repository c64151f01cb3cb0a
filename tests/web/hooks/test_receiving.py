"""Webhooks as forges send them: taken once, from who may, and answered before anything is done."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
import sqlalchemy as sql

from ci.forge.signatures import sign
from ci.store import builds, deliveries, forgekeys
from ci.store.records import Filter
from ci.store.schema import deliveries as table
from tests.web.pushing import PIPELINE, Forge
from web import jobs

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient

    from web.services import Services

HOSTILE = "$(touch /tmp/pwned) `id`\n---\nsteps: []\n<script>alert(1)</script> ${CI_TOKEN} '\"; \0"


@pytest.fixture
def forge(services: Services, tmp_path: Path) -> Forge:
    """With a repository."""
    return Forge(services, tmp_path)


def _count(services: Services) -> int:
    with services.database.read() as connection:
        return connection.execute(sql.select(sql.func.count()).select_from(table)).scalar_one()


def _handle(app: Flask, services: Services) -> None:
    """What the worker does, now."""
    with services.database.read() as connection:
        waiting = deliveries.waiting(connection, services.clock() + 1)
    with app.app_context():
        for identifier in waiting:
            jobs.handle_delivery(identifier)


def test_a_push_becomes_a_build(app: Flask, client: FlaskClient, services: Services, forge: Forge) -> None:
    """It is noted and queued at once; the worker makes a build, whose Stage a runner may have."""
    commit = forge.origin.commit("First", DOTciDOTyml=PIPELINE)
    response = forge.deliver(client, forge.payload(commit))
    assert (response.status_code, response.json["outcome"]) == (202, "queued")  # type: ignore[index]
    assert services.events.queue.count == 1
    _handle(app, services)
    _handle(app, services)  # again is as once
    with services.database.read() as connection:
        (build,) = builds.page(connection, forge.repository.id, Filter())
    assert (build.event.commit, build.event.message) == (commit, "First")
    assert services.queues.lengths() == {"stages:0:": 1}


def test_a_delivery_is_taken_once(app: Flask, client: FlaskClient, services: Services, forge: Forge) -> None:
    """GitHub repeats the id when it delivers again."""
    payload = forge.payload(forge.origin.commit(DOTciDOTyml=PIPELINE))
    assert forge.deliver(client, payload, identifier="one").status_code == 202
    again = forge.deliver(client, payload, identifier="one")
    assert (again.status_code, again.json) == (200, {"outcome": "this delivery was taken before"})
    assert _count(services) == 1


def test_nothing_unsigned(client: FlaskClient, services: Services, forge: Forge) -> None:
    """Not with another secret, not by SHA-1, not for a repository that is not here; nothing is written."""
    payload = forge.payload("c" * 40)
    body = json.dumps(payload).encode()
    headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "x", "Content-Type": "application/json"}
    assert forge.deliver(client, payload, secret="wrong").status_code == 401  # noqa: S106
    assert client.post(f"/hooks/{forge.repository.id}", data=body, headers=headers).status_code == 401
    sha1 = {**headers, "X-Hub-Signature": "sha1=" + "0" * 40}
    assert client.post(f"/hooks/{forge.repository.id}", data=body, headers=sha1).status_code == 401
    assert client.post("/hooks/999", data=body, headers=headers).status_code == 401
    assert _count(services) == 0


def test_another_repository_is_refused(client: FlaskClient, services: Services, forge: Forge) -> None:
    """Who knows one repository's secret speaks for that one only; nothing is written."""
    for other in ({"id": 78, "full_name": "octo/pushed"}, {"full_name": "octo/pushed"}, {}):
        response = forge.deliver(client, forge.payload("c" * 40, repository=other))
        assert response.status_code == 403
    assert _count(services) == 0


def test_a_form_and_a_ping(client: FlaskClient, forge: Forge) -> None:
    """Both content types are signed as they are sent; a ping only says that all is well."""
    body = urlencode({"payload": json.dumps(forge.payload("c" * 40))}).encode()
    headers = {
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": "form",
        "X-Hub-Signature-256": sign(forge.secret, body),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    assert client.post(f"/hooks/{forge.repository.id}", data=body, headers=headers).status_code == 202
    ping = forge.deliver(client, {"zen": "Keep it logically awesome."}, event="ping")
    assert (ping.status_code, ping.json) == (200, {"outcome": "pong"})


def test_a_secret_is_replaced(client: FlaskClient, services: Services, forge: Forge) -> None:
    """The former one is good until the next replacement."""
    with services.database.write() as connection:
        new = forgekeys.renew_hook_secret(connection, services.keyring, forge.repository.id)
    assert forge.deliver(client, forge.payload("c" * 40)).status_code == 202
    assert forge.deliver(client, forge.payload("c" * 40), secret=new).status_code == 202
    with services.database.write() as connection:
        forgekeys.renew_hook_secret(connection, services.keyring, forge.repository.id)
    assert forge.deliver(client, forge.payload("c" * 40)).status_code == 401


@pytest.mark.parametrize("marker", ["[ci skip]", "[skip ci]", "[CI SKIP]"])
def test_what_asks_for_no_build(app: Flask, client: FlaskClient, services: Services, forge: Forge, marker: str) -> None:
    """By the commit's message; also what is no push of a commit."""
    commit = forge.origin.commit(f"Words {marker}", DOTciDOTyml=PIPELINE)
    assert forge.deliver(client, forge.payload(commit)).status_code == 202
    deleted = forge.deliver(client, forge.payload("0" * 40))
    assert deleted.status_code == 200
    _handle(app, services)
    with services.database.read() as connection:
        assert builds.page(connection, forge.repository.id, Filter()) == ()


def test_hostile_texts_stay_texts(app: Flask, client: FlaskClient, services: Services, forge: Forge) -> None:
    """A message and a name reach the build as they are, but for what no database takes."""
    commit = forge.origin.commit("x", DOTciDOTyml=PIPELINE)
    head = {"id": commit, "message": HOSTILE, "author": {"name": HOSTILE, "email": HOSTILE}}
    assert forge.deliver(client, forge.payload(commit, head_commit=head)).status_code == 202
    _handle(app, services)
    with services.database.read() as connection:
        (build,) = builds.page(connection, forge.repository.id, Filter())
    assert build.event.message == HOSTILE.replace("\0", "")
    assert build.error == ""


def test_what_is_no_payload(client: FlaskClient, services: Services, forge: Forge) -> None:
    """Signed or not, it is refused in one line."""
    for body in (b"", b"{", b"[" * 100_000, b"\xff\xfe"):
        headers = {
            "X-GitHub-Event": "push",
            "X-GitHub-Delivery": "x",
            "X-Hub-Signature-256": sign(forge.secret, body),
            "Content-Type": "application/json",
        }
        response = client.post(f"/hooks/{forge.repository.id}", data=body, headers=headers)
        assert response.status_code in (400, 403)
    too_large = client.post(f"/hooks/{forge.repository.id}", data=bytes(26 << 20))
    assert too_large.status_code == 413
    assert _count(services) == 0


def test_a_plain_git_server(app: Flask, client: FlaskClient, services: Services, forge: Forge) -> None:
    """What `ci-run push` sends; a tag's commit is found in the repository, whatever object the hook names."""
    with services.database.write() as connection:
        connection.execute(sql.text("UPDATE repositories SET forge = 'git'"))
    commit = forge.origin.commit("Tagged", DOTciDOTyml=PIPELINE)
    forge.origin.git("tag", "-a", "v1", "-m", "One")
    tag = forge.origin.git("rev-parse", "refs/tags/v1")
    assert tag != commit
    for number, (ref, after) in enumerate((("refs/heads/main", commit), ("refs/tags/v1", tag))):
        body = json.dumps({"repository": "octo/pushed", "ref": ref, "before": "0" * 40, "after": after}).encode()
        headers = {"X-Hako-Delivery": f"delivery-{number}", "X-Hub-Signature-256": sign(forge.secret, body)}
        response = client.post(f"/hooks/git/{forge.repository.id}", data=body, headers=headers)
        assert response.status_code == 202, response.json
    _handle(app, services)
    with services.database.read() as connection:
        found = builds.page(connection, forge.repository.id, Filter())
    assert [(build.event.tag, build.event.commit) for build in found] == [("v1", commit), ("", commit)]


def test_the_hook_is_quick(client: FlaskClient, forge: Forge) -> None:
    """A storm of a thousand is taken, each once, whatever comes of it."""
    taken = [forge.deliver(client, forge.payload("c" * 40), identifier=f"d{n % 900}").status_code for n in range(1000)]
    assert (taken.count(202), taken.count(200)) == (900, 100)


def test_nothing_was_run(forge: Forge) -> None:
    """The hostile texts above have made no file."""
    assert not subprocess.run(["ls", "/tmp/pwned"], capture_output=True, check=False).stdout
