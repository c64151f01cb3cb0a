"""What a Stage's run tells the server, written to its outbox: states, logs, reports of tests, artifacts, the end.

A `Reporter` of `runners.stage`. It never waits: the outbox is a file. Steps go by their numbers on the server, times in
seconds since 1970; states are the server's words. Notices stand in the log of the step that they are about.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from runners.outbox import Entry
from runners.schedule import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci.pipeline.spec import StageSpec, StepSpec
    from runners.outbox import Outbox, OutboxLog
    from runners.report import StageResult
    from runners.schedule import StepResult

RUNNING = "running"
SUCCESS = "success"
ERROR = "error"
WORDS = {
    State.PASSED: SUCCESS,
    State.FAILED: "failure",
    State.IGNORED: "failure",
    State.SKIPPED: "skipped",
    State.CANCELLED: "killed",
    State.ERROR: ERROR,
}


class OutboxReporter:
    """`numbers` are those of steps by their names; `clock` is the loop's, of which results have their times."""

    def __init__(self, outbox: Outbox, numbers: Mapping[str, int], clock: float) -> None:
        self._outbox = outbox
        self._numbers = numbers
        self._offset = time.time() - clock
        self._logs: dict[str, OutboxLog] = {}
        self._latest = ""

    def stage_started(self, stage: StageSpec) -> None:
        """The server knows, for it has given the Stage out."""

    def step_started(self, stage: StageSpec, step: StepSpec) -> OutboxLog:
        """It runs; where it is tried again, its log goes on."""
        del stage
        return self.begin(step.name)

    def begin(self, name: str) -> OutboxLog:
        """A step runs now."""
        number = self._numbers[name]
        self._outbox.write(Entry("step", number, {"state": RUNNING, "started": time.time()}))
        self._logs[name] = self._outbox.log(number)
        self._latest = name
        return self._logs[name]

    def step_finished(self, stage: StageSpec, result: StepResult) -> None:
        """It is over: after the last byte of its log."""
        del stage
        number = self._numbers[result.name]
        if result.tests is not None:
            self._outbox.write(Entry("tests", number, dataclasses.asdict(result.tests)))
        reason = result.reason if result.state is not State.PASSED else ""
        self.end(
            result.name,
            WORDS[result.state],
            exit_code=result.exit_code,
            error=reason,
            started=self._since_1970(result.started),
            finished=self._since_1970(result.finished),
        )

    def end(
        self,
        name: str,
        state: str,
        *,
        error: str = "",
        exit_code: int | None = None,
        started: float = 0.0,
        finished: float = 0.0,
    ) -> None:
        """A step is over."""
        log = self._logs.pop(name, None)
        if log is not None:
            log.close()
            self._outbox.write(Entry("end", self._numbers[name]))
        body = {"state": state, "exit_code": exit_code, "error": error, "started": started, "finished": finished}
        self._outbox.write(Entry("step", self._numbers[name], body))

    def artifact(self, step: int, path: str) -> None:
        """A step has left a file, which is in the outbox."""
        self._outbox.write(Entry("artifact", step, {"path": path}))

    def notice(self, stage: StageSpec, text: str) -> None:
        """A line of its own in the log of the step that it begins with, or else of the last one that began."""
        del stage
        name = text.partition(":")[0]
        log = self._logs.get(name) or self._logs.get(self._latest)
        if log is not None and log.is_open:
            log.write(f"hako: {text}\n".encode("utf-8", "surrogateescape"))

    def stage_expanded(self, stage: StageSpec, cells: Sequence[StageSpec]) -> None:
        """The server does that, before it gives a Stage out."""

    def stage_finished(self, result: StageResult) -> None:
        """The last entry; outputs go as they are, since the server hands them on."""
        self.finish(WORDS[result.state], error=result.reason, outputs=result.outputs)

    def finish(self, state: str, *, error: str = "", outputs: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """The Stage is over."""
        for name in list(self._logs):
            self.end(name, ERROR, error=error, finished=time.time())
        named = {step: dict(written) for step, written in (outputs or {}).items()}
        body = {"state": state, "error": error, "finished": time.time(), "outputs": named}
        self._outbox.write(Entry("finish", body=body))

    def _since_1970(self, moment: float | None) -> float:
        return 0.0 if moment is None else moment + self._offset
