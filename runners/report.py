"""What a running build tells whoever watches: the terminal of `ci-run local`, or the server.

`runners.stage` calls a `Reporter` from the loop's thread, in the order in which things happen. A reporter must not
raise, and what it does with slow readers is its own affair: while it blocks, the steps' pipes fill and the steps
wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci.pipeline.spec import StageSpec, StepSpec
    from runners.schedule import State, StepResult


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """The end of a Stage. `steps` are its services and steps, in file order; times as in `StepResult`."""

    stage: StageSpec
    state: State
    steps: tuple[StepResult, ...] = ()
    started: float | None = None
    finished: float | None = None
    reason: str = ""
    outputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of its steps, as they are: not to be shown

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, or `None` when it never ran."""
        if self.started is None or self.finished is None:
            return None
        return self.finished - self.started


class StepLog(Protocol):
    """Takes one step's output, masked, in chunks cut anywhere (also inside of a line or a character)."""

    def write(self, data: bytes) -> None:
        """The next bytes."""

    def close(self) -> None:
        """There is no more. Called once."""


class Reporter(Protocol):
    """Watches a build. For each Stage: started, then its steps' events, then finished."""

    def stage_started(self, stage: StageSpec) -> None:
        """The Stage is being prepared."""

    def step_started(self, stage: StageSpec, step: StepSpec) -> StepLog:
        """A step or service starts; its output goes to what is returned."""

    def step_finished(self, stage: StageSpec, result: StepResult) -> None:
        """A step or service is over or skipped; its log was closed before, if it had one."""

    def notice(self, stage: StageSpec, text: str) -> None:
        """Something a person should know, in one sentence."""

    def stage_expanded(self, stage: StageSpec, cells: Sequence[StageSpec]) -> None:
        """In place of a Stage whose matrix was not known there are these: none, one or more."""

    def stage_finished(self, result: StageResult) -> None:
        """The Stage is over and everything it had is removed. Skipped Stages are only finished."""
