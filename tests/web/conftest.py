"""A server for the tests of the web: its parts are real; its folder is near the top, as a socket's path is short."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ci.store import repositories
from ci.store.repositories import Repository
from web import settings
from web.application import create_app
from web.services import Services, connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from flask.testing import FlaskClient


@pytest.fixture
def services() -> Iterator[Services]:
    """With a Valkey and a database of its own."""
    with tempfile.TemporaryDirectory(prefix="hako-web-", dir="/tmp") as folder:
        found = connect(settings.read({"HAKO_FILE_REPOSITORIES": "1"}, Path(folder)))
        yield found
        found.close()
        assert found.valkey is not None
        found.valkey.stop()


@pytest.fixture
def app(services: Services) -> Flask:
    """The application."""
    return create_app(services)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Who asks it."""
    return app.test_client()


@pytest.fixture
def repository(services: Services) -> Repository:
    """A repository, which is public."""
    with services.database.write() as connection:
        return repositories.add(
            connection, Repository(forge="github", forge_url="https://github.com", forge_id="7", name="octo/hello")
        )
