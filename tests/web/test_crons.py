"""Schedules: due when they say, run once for each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ci.errors import CiError
from ci.pipeline.event import EventKind
from ci.store import builds, crons
from ci.store.crons import Cron
from ci.store.records import Filter
from ci.trigger.schedules import following
from tests.web.pushing import PIPELINE, Forge
from web import jobs
from web.working import beat

if TYPE_CHECKING:
    from pathlib import Path

    from flask import Flask

    from web.services import Services

NOON = 1_700_049_600.0  # 2023-11-15 12:00 UTC, a Wednesday


@pytest.mark.parametrize(
    ("schedule", "seconds"), [("* * * * *", 60), ("0 * * * *", 3600), ("@daily", 12 * 3600), ("0 12 * * 3", 7 * 86400)]
)
def test_when_it_is_due(schedule: str, seconds: int) -> None:
    """The next time, never the present one."""
    assert following(schedule, NOON) == NOON + seconds


@pytest.mark.parametrize(
    "schedule", ["", "* * * *", "* * * * * *", "61 * * * *", "@never", "0 0 31 2 *", "$(id) * * * *"]
)
def test_what_is_no_schedule(schedule: str) -> None:
    """Is refused in one line, also what is never due."""
    with pytest.raises(CiError, match="is no schedule"):
        following(schedule, NOON)


def test_one_is_built(app: Flask, services: Services, tmp_path: Path) -> None:
    """The beat queues it, a job builds the branch's newest commit; the same time is not built twice."""
    forge = Forge(services, tmp_path)
    commit = forge.origin.commit("One", DOTciDOTyml=PIPELINE)
    with services.database.write() as connection:
        cron = crons.add(
            connection, Cron(repository_id=forge.repository.id, name="nightly", schedule="@daily", next=NOON)
        )
        with pytest.raises(CiError, match="already"):
            crons.add(connection, cron)
    beat(services, repair=True)
    assert services.events.queue.count == 1
    with app.app_context():
        jobs.run_cron(cron.id)
        jobs.run_cron(cron.id)
    with services.database.write() as connection:
        assert crons.due(connection, services.clock()) == ()
        assert not crons.take(connection, cron, 0.0, "once more")
        (build,) = builds.page(connection, forge.repository.id, Filter())
        crons.remove(connection, forge.repository.id, "nightly")
        assert crons.of_repository(connection, forge.repository.id) == ()
    assert (build.event.kind, build.event.cron, build.event.commit) == (EventKind.CRON, "nightly", commit)
