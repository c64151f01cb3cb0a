"""A container's healthcheck: runs its command in the container at intervals and keeps what came of it.

Owned by the supervisor, which calls `tick` when `patience` has passed and passes on what happens. The rules are
docker's: starting until the first success; unhealthy after so many failures in a row, which do not count during the
start period; healthy after one success. The last five results are kept with the beginning of their output.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.image.config import Healthcheck

_NANOSECONDS = 1e9
_INTERVAL, _TIMEOUT, _START_INTERVAL, _RETRIES = 30.0, 30.0, 5.0, 3
_KEPT = 5  # results
_TIMED_OUT = -1  # docker's exit code for a check that took too long


class Probe(Protocol):
    """A check that runs."""

    def output(self) -> str:
        """The beginning of what it has printed."""

    def kill(self) -> None:
        """End it."""


class Rules(NamedTuple):
    """Seconds, and a number of failures."""

    interval: float
    timeout: float
    start_period: float
    start_interval: float
    retries: int

    @staticmethod
    def of(check: Healthcheck) -> Rules:
        """With docker's defaults for what is 0."""
        return Rules(
            interval=check.interval / _NANOSECONDS or _INTERVAL,
            timeout=check.timeout / _NANOSECONDS or _TIMEOUT,
            start_period=check.start_period / _NANOSECONDS,
            start_interval=check.start_interval / _NANOSECONDS or _START_INTERVAL,
            retries=check.retries or _RETRIES,
        )


def command(check: Healthcheck, shell: tuple[str, ...] = ("/bin/sh", "-c")) -> tuple[str, ...]:
    """What is run; empty for none (`NONE`, and an empty test)."""
    kind, *words = check.test or ("NONE",)
    if kind == "CMD":
        return tuple(words)
    return (*shell, *words) if kind == "CMD-SHELL" and words else ()


class Monitor:
    """One container's health. `probe` starts a check, `tell` is called with the new state after each result.

    `now` is a clock that never jumps.
    """

    def __init__(
        self,
        rules: Rules,
        probe: Callable[[], Probe],
        tell: Callable[[dict[str, Any], bool], object],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._probe = probe
        self._tell = tell
        self._now = now
        self._running: Probe | None = None
        self._status = "starting"
        self._failures = 0
        self._results: list[dict[str, Any]] = []
        self._began = now()
        self._started = 0.0  # the running check, on the wall's clock
        self._limit = 0.0  # when it has taken too long
        self._due = self._began + self._interval()

    def state(self) -> dict[str, Any]:
        """In docker's shape (Engine API, Health), but for the times, which are seconds since the epoch."""
        return {"Status": self._status, "FailingStreak": self._failures, "Log": list(self._results)}

    def patience(self) -> float:
        """Seconds until `tick` has something to do."""
        due = self._due if self._running is None else self._limit
        return max(due - self._now(), 0.0)

    def tick(self) -> None:
        """Start a check that is due; end one that takes too long."""
        if self._running is not None:
            if self._now() >= self._limit:
                running = self._running
                running.kill()
                self._result(
                    _TIMED_OUT, f"Health check exceeded timeout ({self._rules.timeout:g}s): {running.output()}"
                )
            return
        if self._now() >= self._due:
            self._started = time.time()
            self._limit = self._now() + self._rules.timeout
            try:
                self._running = self._probe()
            except Exception as error:
                self._result(_TIMED_OUT, str(error))

    def ended(self, probe: Probe, code: int) -> None:
        """A check has ended by itself."""
        if probe is self._running:
            self._result(code, probe.output())

    def _result(self, code: int, output: str) -> None:
        self._running = None
        before = self._status
        if code == 0:
            self._status, self._failures = "healthy", 0
        elif not (before == "starting" and self._now() - self._began < self._rules.start_period):
            self._failures += 1
            if self._failures >= self._rules.retries:
                self._status = "unhealthy"
        entry = {"Start": self._started, "End": time.time(), "ExitCode": code, "Output": output}
        self._results = [*self._results, entry][-_KEPT:]
        self._due = self._now() + self._interval()
        self._tell(self.state(), self._status != before)

    def _interval(self) -> float:
        young = self._now() - self._began < self._rules.start_period
        return self._rules.start_interval if young and self._status == "starting" else self._rules.interval
