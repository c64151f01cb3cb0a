"""The pages of repositories and builds, as the server renders them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from ci.access.roles import Role
from ci.pipeline.event import Event, EventKind
from ci.store import builds, permissions, releasing, repositories, sessions, stages, users
from ci.store.records import Build, Stage, Step
from ci.store.stages import Holder
from ci.store.states import State
from ci.store.users import User

if TYPE_CHECKING:
    from flask.testing import FlaskClient

    from ci.store.repositories import Repository
    from web.services import Services

HOSTILE = "<script>alert(1)</script>"
PLANNED = (
    Stage(number=1, name="test", matrix={"go": "1"}, spec={"steps": [{"name": HOSTILE}]}, steps=(
        Step(number=1, name="clone", kind="clone"),
        Step(number=2, name=HOSTILE),
    )),
    Stage(number=2, name="deploy", depends_on=(1,), steps=(Step(number=1, name="go"),)),
)  # fmt: skip


def make(services: Services, repository: Repository, event: Event, **more: object) -> Build:
    """A build of two Stages."""
    with services.database.write() as connection:
        return builds.create(connection, repository.id, event, PLANNED, 100.0, **more)  # type: ignore[arg-type]


def test_the_first_page(client: FlaskClient, services: Services, repository: Repository) -> None:
    """Repositories with their last builds, of which a search leaves some; a private one is not there for strangers."""
    make(services, repository, Event(branch="main", message=HOSTILE))
    with services.database.write() as connection:
        other = repositories.Repository(forge="git", forge_url="x", forge_id="1", name="octo/secret", private=True)
        repositories.add(connection, other)
    page = client.get("/").text
    assert 'href="/octo/hello/1"' in page
    assert HOSTILE not in page
    assert "octo/secret" not in page
    assert "octo/hello" in client.get("/?q=HELLO octo").text
    assert "No repository that you may see is called so." in client.get("/?q=other").text


def test_a_list_without_an_end(client: FlaskClient, services: Services, repository: Repository) -> None:
    """Its parts follow one another by a link, with the same filter; a part alone is what a script asks for."""
    for number in range(120):
        make(services, repository, Event(branch="main" if number % 2 else "other"))
    seen, path = [], "/octo/hello?branch=main"
    while path:
        page = client.get(path).text
        seen += [int(one.partition('"')[0]) for one in page.split('class="name" href="/octo/hello/')[1:]]
        path = page.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert seen == list(range(120, 0, -2))
    part = client.get("/octo/hello?before=10&part").text
    assert part.lstrip().startswith("<li>")
    assert client.get("/octo/hello?before=x").status_code == 404


def test_a_build(client: FlaskClient, services: Services, repository: Repository) -> None:
    """Its Stages and steps with their states; what strangers wrote is text. What has not changed is not sent again."""
    build = make(services, repository, Event(branch="main", message=HOSTILE, link="javascript:alert(1)"))
    with services.database.write() as connection:
        first = stages.of_build(connection, build.id)[0]
        releasing.mark_ready(connection, [first.id], 100.0)
        releasing.release(connection, repository.id, 100.0)
        stages.accept(connection, first.id, "r1", 101.0)
        failed = Step(number=2, name="", state=State.FAILURE, exit_code=3, started=1, finished=4)
        stages.report_step(connection, first.id, Holder("r1", 1), failed)
    response = client.get("/octo/hello/1")
    page = response.text
    assert HOSTILE not in page
    assert "javascript:" not in page
    assert "test (go=1)" in page
    assert "exit code 3" in page
    assert "3.0 s" in page
    assert client.get("/octo/hello/1", headers={"If-None-Match": response.headers["ETag"]}).status_code == 304
    part = client.get("/octo/hello/1?part").text
    assert "<html" not in part
    assert 'id="stage-2"' in part
    assert client.get("/octo/hello/2").status_code == 404
    assert "&lt;script&gt;" in client.get("/octo/hello/1/-/configuration").text


def test_a_build_with_mistakes(client: FlaskClient, services: Services, repository: Repository) -> None:
    """Says what and where."""
    with services.database.write() as connection:
        mistake = {"file": ".ci.yml", "line": 3, "column": 5, "message": "no key 'imge'", "hint": "image?"}
        builds.create(
            connection, repository.id, Event(branch="main"), (), 1.0, error=".ci.yml: 1 mistake", diagnostics=[mistake]
        )
    page = client.get("/octo/hello/1").text
    assert ".ci.yml:3:5" in page
    assert "no key &#39;imge&#39;" in page


@pytest.mark.parametrize("state", [None, *State])
def test_a_badge(client: FlaskClient, services: Services, repository: Repository, state: State | None) -> None:
    """Of the last build of the branch that ran; a picture that is asked for anew each time."""
    with services.database.write() as connection:
        repositories.update(connection, repository.id, default_branch="main")
        if state is not None:
            builds.create(connection, repository.id, Event(branch="main"), PLANNED, 1.0)
            connection.exec_driver_sql("UPDATE builds SET state = ?", (state.value,))
        builds.create(
            connection, repository.id, Event(kind=EventKind.PULL_REQUEST, pull_request=1, branch="main"), PLANNED, 2.0
        )
    response = client.get("/octo/hello/-/badge.svg")
    assert response.mimetype == "image/svg+xml"
    assert response.headers["Cache-Control"] == "no-cache"
    word = "none" if state in (None, State.BLOCKED, State.SKIPPED) else state
    assert f"build: {word}" in str(ET.fromstring(response.text).get("aria-label"))  # noqa: S314


def test_private_ones(client: FlaskClient, services: Services, repository: Repository) -> None:
    """Are not there for strangers: neither their pages nor their badges."""
    make(services, repository, Event(branch="main"))
    with services.database.write() as connection:
        repositories.update(connection, repository.id, private=True)
    for path in ("", "/1", "/-/badge.svg", "/1/-/configuration"):
        assert client.get(f"/octo/hello{path}").status_code == 404


def test_buttons(client: FlaskClient, services: Services, repository: Repository) -> None:
    """Are there for who may write, and do what they say; for others they are not there."""
    make(services, repository, Event(branch="main"), blocked=True)
    assert "Approve" not in client.get("/octo/hello/1").text
    with services.database.write() as connection:
        user = users.add(connection, User(login="ada"))
        permissions.put(connection, user.id, repository.id, Role.WRITE)
        session = sessions.begin(connection, user.id, services.clock())
    client.set_cookie("hako", session.text)
    page = client.get("/octo/hello/1").text
    assert 'formaction="/octo/hello/1/-/approve"' in page
    form = {"csrf_token": page.partition('name="csrf_token" value="')[2].partition('"')[0]}
    assert client.post("/octo/hello/1/-/approve").status_code == 403
    assert client.post("/octo/hello/1/-/approve", data=form).location == "/octo/hello/1"
    assert 'formaction="/octo/hello/1/-/cancel"' in client.get("/octo/hello/1").text
    assert client.post("/octo/hello/1/-/cancel", data=form).status_code == 302
    assert 'formaction="/octo/hello/1/-/restart"' in client.get("/octo/hello/1").text
    assert client.post("/octo/hello/1/-/restart", data=form).status_code == 302
    assert 'formaction="/octo/hello/1/-/cancel"' in client.get("/octo/hello/1").text
