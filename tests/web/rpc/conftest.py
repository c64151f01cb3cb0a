"""Runners, as the server sees them: by their calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ci.pipeline.compile import compile_all
from ci.pipeline.event import Event
from ci.pipeline.loading import load
from ci.store import builds, runners, stages
from ci.trigger import planning

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from ci.store.records import Build, Stage
    from ci.store.repositories import Repository
    from web.services import Services


class Caller:
    """A runner of the server under test."""

    def __init__(self, client: FlaskClient, services: Services, name: str) -> None:
        self.client = client
        with services.database.write() as connection:
            self.token = runners.add(connection, name, 1.0).text

    def call(self, method: str, path: str, document: Any = None, **more: Any) -> TestResponse:
        """A call with its token."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if document is not None:
            more["json"] = document
        return self.client.open(f"/rpc/v1{path}", method=method, headers=headers, **more)

    def accept(self, stage: Stage) -> dict[str, Any]:
        """A Stage, for itself."""
        response = self.call("POST", f"/stages/{stage.id}/accept", {})
        assert response.status_code == 200, response.json
        assert response.json is not None
        return dict(response.json)

    def finish(self, stage: Stage, state: str = "success", *, attempt: int = 1, **more: Any) -> TestResponse:
        """It is over."""
        return self.call("POST", f"/stages/{stage.id}/finish", {"attempt": attempt, "state": state} | more)


@pytest.fixture
def runner(client: FlaskClient, services: Services) -> Caller:
    """One that has said hello."""
    found = Caller(client, services, "r1")
    assert found.call("POST", "/hello", {"labels": {}, "jobs": 2}).status_code == 200
    return found


@pytest.fixture
def other(client: FlaskClient, services: Services) -> Caller:
    """Another one."""
    return Caller(client, services, "r2")


def build(services: Services, repository: Repository, text: str, *, blocked: bool = False, **event: Any) -> Build:
    """A build of a pipeline, whose first Stages runners may have."""
    happened = Event(**{"branch": "main", "commit": "c" * 40, "remote_url": "https://git.example/x.git"} | event)
    loaded = load(text.encode(), ".ci.yml", None)
    assert loaded.ok, loaded.diagnostics
    with services.database.write() as connection:
        planned = planning.stages(compile_all(loaded.documents, happened, number=1))
        made = builds.create(connection, repository.id, happened, planned, services.clock(), blocked=blocked)
    services.dispatcher.advance(made.id)
    return made


def found(services: Services, made: Build) -> tuple[Stage, ...]:
    """Its Stages now."""
    with services.database.read() as connection:
        return stages.of_build(connection, made.id)
