"""One container of a Stage while it runs: its output, its readiness, its deadlines, its end.

`runners.stage` makes a `Running` for each step and service and is told, as its `Watcher`, when a service can be used
and when the container is over and its output read to the last byte.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from runners.backend import Ended
from runners.readiness import Readiness
from runners.schedule import State, StepResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.pipeline.spec import StepSpec
    from runners.backend import Handle
    from runners.loop import Loop, Timer
    from runners.masking import Masker
    from runners.report import StepLog

CHUNK = 1 << 16
REST = 0.01  # seconds in which output gathers in the pipe
STOP_PATIENCE = 5.0  # seconds that a container has to end by itself when it is asked to
KILL_PATIENCE = 10.0  # seconds after which a killed container is given up: a process hangs in the kernel
DRAIN_PATIENCE = 5.0  # seconds for the rest of the output after the container's end
_LAST_BYTES, _LAST_LINES = 4096, 10  # that are shown of a service that was never ready


class Watcher(Protocol):
    """Who is told; called from the loop, at most once each."""

    def is_ready(self, name: str, doubt: str = "") -> None:
        """The service `name` can be used; or, with the doubt that there is, nobody waits for it any more."""

    def will_close(self, running: Running, ended: Ended, handle: Handle) -> None:
        """The container has ended, and is about to be removed."""

    def has_ended(self, running: Running, ended: Ended) -> None:
        """The container is over and its log closed."""


class Running:
    """One container that runs. `timed_out` and `cancelled` tell why it was killed, if it was."""

    def __init__(
        self, step: StepSpec, *, loop: Loop, watcher: Watcher, log: StepLog, masker: Masker, service: bool
    ) -> None:
        self.step = step
        self.service = service
        self.timed_out = False
        self.cancelled = False
        self.spoiled = ""  # why what it left for later steps cannot be used
        self._watcher = watcher
        self._loop = loop
        self._log = log
        self._masker = masker
        self._handle: Handle | None = None
        self._readiness: Readiness | None = None
        self._missed = ""  # at the deadline: what a container said of its health goes with it
        self._last = b""
        self._timers: list[Timer] = []
        self._started = loop.now()
        self._reading = False
        self._resting: Timer | None = None
        self._is_ready = False
        self._ended: Ended | None = None

    @property
    def missing(self) -> str:
        """What is still waited for of a service, see `Readiness.missing`; empty when it can be used."""
        if self._readiness is None or self._is_ready:
            return ""
        return self._missed or self._readiness.missing

    @property
    def last_lines(self) -> tuple[str, ...]:
        """The last lines of a service that has not been ready yet, masked."""
        text = self._last.decode("utf-8", "replace").rstrip("\n")
        return tuple(text.split("\n")[-_LAST_LINES:]) if text else ()

    def begin(self, handle: Handle) -> None:
        """Listen to the started container."""
        self._handle = handle
        self._reading = True
        self._loop.watch(handle.output, self._read)
        self._loop.watch(handle.ended, self._has_ended)
        if self.step.timeout is not None and not self.service:
            self._after(self.step.timeout, self._time_out)
        if self.service and self.step.tells:
            self._readiness = Readiness(self._loop, self.step, handle, self._has_become_ready)
            self._after(self.step.wait, self._not_ready)

    def stop(self) -> None:
        """End it: it is asked first, and killed after a moment."""
        if self._handle is not None and self._ended is None:
            self._stop_waiting()
            self._handle.terminate()
            self._after(STOP_PATIENCE, self.kill)

    def kill(self) -> None:
        """End it now."""
        if self._handle is not None and self._ended is None:
            self._stop_waiting()
            self._handle.kill()
            self._after(KILL_PATIENCE, self._give_up)

    def result(self, state: State, code: int | None, reason: str) -> StepResult:
        """A result with this container's name and times."""
        return StepResult(
            name=self.step.name,
            state=state,
            exit_code=code,
            started=self._started,
            finished=self._loop.now(),
            reason=reason,
        )

    def _after(self, delay: float, callback: Callable[[], None]) -> None:
        self._timers.append(self._loop.after(delay, callback))

    def _has_become_ready(self) -> None:
        self._is_ready = True
        self._watcher.is_ready(self.step.name)

    def _not_ready(self) -> None:
        if self._is_ready or self._readiness is None:
            return
        if self.step.must_be_ready:
            self._missed = self._readiness.missing
            self._time_out()
            return
        self._is_ready = True
        self._stop_waiting()
        self._watcher.is_ready(self.step.name, f"{self._readiness.missing} within {seconds(self.step.wait)}")

    def _time_out(self) -> None:
        self.timed_out = True
        self.kill()

    def _stop_waiting(self) -> None:
        if self._readiness is not None:
            self._readiness.cancel()

    def _read(self) -> None:
        if self._handle is None:
            return
        data = os.read(self._handle.output, CHUNK)
        if not data:
            self._read_all()
            return
        self._write(self._masker.feed(data))
        if len(data) < CHUNK and self._ended is None:
            self._rest()

    def _rest(self) -> None:
        """We have read all there was: whoever writes line by line would be stopped and woken by each of our reads."""
        if self._handle is not None:
            self._loop.forget(self._handle.output)
            self._resting = self._loop.after(REST, self._go_on)

    def _go_on(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
            if self._reading and self._handle is not None:
                self._loop.watch(self._handle.output, self._read)

    def _write(self, data: bytes) -> None:
        if data:
            self._log.write(data)
            if self._readiness is not None and not self._is_ready:
                self._last = (self._last + data)[-_LAST_BYTES:]

    def _read_all(self) -> None:
        """No more output: the end of file, or patience is over."""
        if self._reading and self._handle is not None:
            self._reading = False
            self._loop.forget(self._handle.output)
            self._write(self._masker.end())
            self._conclude()

    def _has_ended(self) -> None:
        if self._handle is not None:
            self._loop.forget(self._handle.ended)
            self._ended = self._handle.result()
            self._go_on()
            self._after(DRAIN_PATIENCE, self._read_all)
            self._conclude()

    def _give_up(self) -> None:
        """It does not die: a process of it hangs in the kernel. The Stage goes on without it."""
        if self._ended is None and self._handle is not None:
            self._loop.forget(self._handle.ended)
            self._ended = Ended(code=137, error="it did not end when it was killed")
            self._read_all()

    def _conclude(self) -> None:
        if self._ended is None or self._reading or self._handle is None:
            return
        for timer in self._timers:
            timer.cancel()
        self._stop_waiting()
        self._log.close()
        self._watcher.will_close(self, self._ended, self._handle)
        self._handle.close()
        self._handle = None
        self._watcher.has_ended(self, self._ended)


def seconds(value: float) -> str:
    """30 s, 5 min, 1.5 h."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} s"
