"""What a local run is shown by: the seam between `building` and the live lines (`console`) or events (`events`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from runners.report import Reporter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.pipeline.spec import StageSpec, StepSpec
    from runners.report import StageResult, StepLog
    from runners.schedule import StepResult


class Display(Reporter, Protocol):
    """A reporter that also says what concerns the whole run, and how it ended."""

    def say(self, text: str) -> None:
        """A line of the run itself."""

    def interrupt(self) -> None:
        """Called by a signal handler: no reader holds the run from now on."""

    def summarize(self, results: Sequence[StageResult], *, interrupted: bool, seconds: float) -> None:
        """The end of the run."""


class Several:
    """Tells several reporters everything, in their order."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._reporters = reporters

    def stage_started(self, stage: StageSpec) -> None:
        """To all."""
        for reporter in self._reporters:
            reporter.stage_started(stage)

    def step_started(self, stage: StageSpec, step: StepSpec) -> StepLog:
        """A log that is all of theirs."""
        return _SeveralLogs([reporter.step_started(stage, step) for reporter in self._reporters])

    def step_finished(self, stage: StageSpec, result: StepResult) -> None:
        """To all."""
        for reporter in self._reporters:
            reporter.step_finished(stage, result)

    def notice(self, stage: StageSpec, text: str) -> None:
        """To all."""
        for reporter in self._reporters:
            reporter.notice(stage, text)

    def stage_expanded(self, stage: StageSpec, cells: Sequence[StageSpec]) -> None:
        """To all."""
        for reporter in self._reporters:
            reporter.stage_expanded(stage, cells)

    def stage_finished(self, result: StageResult) -> None:
        """To all."""
        for reporter in self._reporters:
            reporter.stage_finished(result)


class _SeveralLogs:
    def __init__(self, logs: Sequence[StepLog]) -> None:
        self._logs = logs

    def write(self, data: bytes) -> None:
        for log in self._logs:
            log.write(data)

    def close(self) -> None:
        for log in self._logs:
            log.close()
