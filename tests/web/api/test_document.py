"""The OpenAPI document, and the API held against it by schemathesis: what it sends and what it answers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from ci.pipeline.event import Event
from ci.store import builds
from ci.store.records import Stage, Step

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from flask.testing import FlaskClient
    from schemathesis import Case
    from schemathesis.schemas import BaseSchema

    from ci.store.repositories import Repository
    from web.services import Services

DOCUMENT = "/api/v1/openapi.json"


@pytest.fixture
def described(
    app: Flask,
    services: Services,
    repository: Repository,
    bearer: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> BaseSchema:
    """The API with a build, asked by an administrator, whom nothing slows down."""
    monkeypatch.setattr("web.access.limits.count", lambda *_: None)
    with services.database.write() as connection:
        planned = (Stage(number=1, name="test", steps=(Step(number=1, name="go"),)),)
        builds.create(connection, repository.id, Event(branch="main"), planned, 1.0)
    schema = schemathesis.openapi.from_wsgi(DOCUMENT, app)
    schema.config.update(headers=bearer("root", admin=True))
    return schema


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_everything_fits(described: BaseSchema, mode: GenerationMode) -> None:
    """Whatever is asked, as the document has it or not: the answer is one that the document has, never a 5xx.

    What fits the document's types may still make no sense (a URL of no repository), and is refused then.
    """
    for found in described.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def fits(case: Case[Any]) -> None:
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        with suppress(Unsatisfiable, SkipTest):  # nothing can be wrong with what takes nothing
            fits()


def test_every_operation_is_in_it(client: FlaskClient) -> None:
    """With its parameters, what it takes and what it gives; those that need a token say so."""
    found = client.get(DOCUMENT).get_json()
    assert found["openapi"] == "3.1.0"
    builds_ = found["paths"]["/repos/{name}/builds"]["get"]
    assert [one["name"] for one in builds_["parameters"]] == [
        "name",
        "branch",
        "event",
        "state",
        "author",
        "before",
        "limit",
    ]
    assert builds_["responses"]["200"]["content"]["application/json"]["schema"]["items"] == {
        "$ref": "#/components/schemas/Summary"
    }
    assert found["paths"]["/user"]["get"]["security"] == [{"token": []}]
    assert {"Build", "Repository", "Problem"} <= set(found["components"]["schemas"])
