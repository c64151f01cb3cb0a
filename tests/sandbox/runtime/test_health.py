"""Healthchecks and restart policies: the rules, without a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sandbox.image.config import Healthcheck
from sandbox.runtime import health, restarting
from sandbox.runtime.health import Monitor, Rules
from sandbox.runtime.state import State, Status

if TYPE_CHECKING:
    from sandbox.runtime.config import ContainerConfig

SECOND = 1_000_000_000


class FakeProbe:
    """A check whose end the test brings about."""

    killed = False

    def output(self) -> str:
        """What it has printed."""
        return "out"

    def kill(self) -> None:
        """Note it."""
        self.killed = True


class Course:
    """A monitor with a clock that the test moves."""

    def __init__(self, **fields: int) -> None:
        self.time = 100.0
        self.told: list[tuple[str, bool]] = []
        self.probes: list[FakeProbe] = []
        rules = Rules.of(Healthcheck(test=("CMD", "x"), **{name: value * SECOND for name, value in fields.items()}))
        self.monitor = Monitor(rules._replace(retries=2), self._probe, self._tell, lambda: self.time)

    def _probe(self) -> FakeProbe:
        self.probes.append(FakeProbe())
        return self.probes[-1]

    def _tell(self, state: dict[str, Any], changed: bool) -> None:
        self.told.append((state["Status"], changed))

    def check(self, code: int) -> str:
        """Let the next check come and end with `code`; the status then."""
        self.time += self.monitor.patience()
        self.monitor.tick()
        self.monitor.ended(self.probes[-1], code)
        return str(self.monitor.state()["Status"])


def test_the_course_of_a_health() -> None:
    """Starting, healthy by one success, unhealthy by two failures in a row, and back."""
    course = Course(interval=10)
    assert course.monitor.patience() == 10
    assert [course.check(code) for code in (1, 0, 1, 0, 1, 1, 1, 0)] == [
        *("starting", "healthy", "healthy", "healthy", "healthy", "unhealthy", "unhealthy", "healthy")
    ]
    assert [status for status, changed in course.told if changed] == ["healthy", "unhealthy", "healthy"]
    state = course.monitor.state()
    assert (state["FailingStreak"], len(state["Log"]), state["Log"][-1]["Output"]) == (0, 5, "out")


def test_failures_at_the_start_do_not_count() -> None:
    """Within the start period, in which checks come sooner, until the first success."""
    course = Course(interval=10, start_period=30, start_interval=5)
    assert course.monitor.patience() == 5
    assert [course.check(1) for _ in range(5)] == ["starting"] * 5
    course.time = 131.0
    assert [course.check(1), course.check(1)] == ["starting", "unhealthy"]


def test_a_check_that_takes_too_long() -> None:
    """It is killed and counts as a failure; its late end is not heard."""
    course = Course(interval=10, timeout=3)
    course.time += 10
    course.monitor.tick()
    assert course.monitor.patience() == 3
    course.time += 3
    course.monitor.tick()
    assert course.probes[0].killed
    course.monitor.ended(course.probes[0], 0)
    assert course.monitor.state()["Log"] == [course.monitor.state()["Log"][0]]
    assert course.monitor.state()["FailingStreak"] == 1


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (("CMD", "a", "b c"), ("a", "b c")),
        (("CMD-SHELL", "a | b"), ("/bin/sh", "-c", "a | b")),
        (("NONE",), ()),
        ((), ()),
    ],
)
def test_what_is_run(test: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """Docker's three kinds."""
    assert health.command(Healthcheck(test=test)) == expected


@pytest.mark.parametrize(
    ("policy", "code", "count", "expected"),
    [
        ("no", 1, 0, False),
        ("always", 0, 100, True),
        ("unless-stopped", 0, 0, True),
        ("on-failure", 0, 0, False),
        ("on-failure", 1, 100, True),
        ("on-failure:3", 1, 2, True),
        ("on-failure:3", 1, 3, False),
    ],
)
def test_restart_policies(policy: str, code: int, count: int, expected: bool) -> None:
    """After which ends it begins again."""
    assert restarting.again(policy, code, count) is expected


def test_pauses_double() -> None:
    """From a tenth of a second to a minute, and anew once it has run for ten seconds."""
    pauses = [0.0]
    for _ in range(12):
        pauses.append(restarting.pause(pauses[-1], ran=0.5))
    assert pauses[1:5] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == 60
    assert restarting.pause(60, ran=10) == 0.1


@pytest.mark.parametrize(
    ("policy", "fields", "expected"),
    [
        ("always", {"stopped": True}, True),
        ("unless-stopped", {"stopped": True}, False),
        ("unless-stopped", {"lost": True}, True),
        ("on-failure", {"lost": True}, True),
        ("on-failure", {"exit_code": 1}, False),
        ("no", {"lost": True}, False),
    ],
)
def test_what_starts_with_the_machine(policy: str, fields: dict[str, Any], expected: bool) -> None:
    """Those that would run, had the machine not stopped."""
    config: ContainerConfig = _config(policy)
    assert restarting.at_boot(config, State(status=Status.EXITED, **fields)) is expected
    assert restarting.at_boot(config, State(status=Status.CREATED)) is False


def _config(policy: str) -> Any:
    class Spec:
        restart = policy

    class Config:
        spec = Spec

    return Config
