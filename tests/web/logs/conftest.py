"""A build with steps whose logs the tests write, in a public repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from ci.logs.store import LogKey
from ci.pipeline.event import Event
from ci.store import builds, stages
from ci.store.records import Stage, Step
from ci.store.states import State

if TYPE_CHECKING:
    from ci.store.repositories import Repository
    from web.services import Services

COMMANDS = ("echo first", "make\nmake install", "echo last")


class Written(NamedTuple):
    """A step, its log's key and its address."""

    key: LogKey
    address: str


@pytest.fixture
def written(services: Services, repository: Repository) -> Written:
    """Build 1 with one Stage and two steps; the log is the second one's, which runs `COMMANDS`."""
    spec = {"steps": [{"name": "clone"}, {"name": "make", "commands": list(COMMANDS)}]}
    steps = (Step(number=1, name="clone", kind="clone"), Step(number=2, name="make", state=State.RUNNING, started=1.0))
    with services.database.write() as connection:
        event = Event(branch="main", commit="0" * 40, message="A change")
        build = builds.create(
            connection, repository.id, event, [Stage(number=1, name="all", spec=spec, steps=steps)], 1.0
        )
        (stage,) = stages.of_build(connection, build.id)
    return Written(LogKey(stage.id, 1, 2), f"/{repository.name}/1/1/2")
