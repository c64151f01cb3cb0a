"""Which steps of a Stage start now, which are skipped, and how the Stage ends: a pure function of what is known so
far.

`runners.stage` asks `decide` after every event and does what it says. Semantics are drone's and Woodpecker's: a step
runs when all that it depends on is over and its half of `when.status` (success, failure) fits the Stage's state at
that moment; exit code 78 ends the Stage early, as a success; a service is no step, it lives until the steps are over,
and so does a detached step once it has begun.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ci.pipeline.spec import OnFailure

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ci.pipeline.spec import StageSpec, StepSpec
    from runners.testreports import Tally

EXIT_STOP_EARLY = 78  # EX_CONFIG of sysexits.h; drone's convention for "nothing more to do"


class State(StrEnum):
    """How a step, a service or a Stage ended."""

    PASSED = "passed"
    FAILED = "failed"
    IGNORED = "ignored"  # failed, but its failure does not count
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    ERROR = "error"  # it could not be started

    @property
    def bad(self) -> bool:
        """Whether a Stage with such a step has failed."""
        return self in {State.FAILED, State.ERROR, State.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """The end of one step or service. Times are seconds on the loop's clock; `None`: it never ran."""

    name: str
    state: State
    exit_code: int | None = None
    started: float | None = None
    finished: float | None = None
    reason: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)  # masked; the Stage alone has the values
    tests: Tally | None = None  # what the step's reports say, masked
    cached: bool = False  # it was not run again: what it did when it passed was brought back
    last_lines: tuple[str, ...] = ()  # of the output of a service that was never ready

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, or `None` when it never ran."""
        if self.started is None or self.finished is None:
            return None
        return self.finished - self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is known of a running Stage. Names of steps and services share one space.

    `cancelled` is the reason for ending everything, or empty. `excluded` are steps that a person left out.
    """

    results: Mapping[str, StepResult] = field(default_factory=dict)
    running: frozenset[str] = frozenset()
    ready: frozenset[str] = frozenset()  # services that can be used
    cancelled: str = ""
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now: start these, record these as skipped; `steps_over` when only services are left to end."""

    start: tuple[StepSpec, ...] = ()
    skip: tuple[StepResult, ...] = ()
    steps_over: bool = False


def decide(stage: StageSpec, progress: Progress) -> Decision:
    """Decide from the state alone; the same state always gives the same decision."""
    results = dict(progress.results)
    services = {service.name: service for service in stage.services}
    # Detached steps that have begun: nobody waits for them any more.
    background = {step.name for step in stage.steps if step.detach and step.name in progress.running}
    waiting = [
        step
        for step in (*stage.services, *stage.steps)
        if step.name not in results and step.name not in progress.running
    ]
    start: list[StepSpec] = []
    skip: list[StepResult] = []
    moved = True
    while moved:  # a skipped step may be what the next one waits for
        moved = False
        for step in tuple(waiting):
            if _waits(step, services, background, results, progress):
                continue
            moved = True
            waiting.remove(step)
            reason = _reason_to_skip(step, stage, results, progress)
            if reason:
                results[step.name] = StepResult(name=step.name, state=State.SKIPPED, reason=reason)
                skip.append(results[step.name])
            else:
                start.append(step)
    over = all(step.name in results or step.name in background for step in stage.steps)
    return Decision(start=() if over else tuple(start), skip=tuple(skip), steps_over=over)


def judge(step: StepSpec, code: int, *, timed_out: bool = False, cancelled: bool = False) -> State:
    """The state of a step that ran and ended with `code`."""
    if cancelled:
        return State.CANCELLED
    if not timed_out and code in {0, EXIT_STOP_EARLY}:
        return State.PASSED
    return State.IGNORED if step.failure == OnFailure.IGNORE else State.FAILED


def outcome(stage: StageSpec, progress: Progress, *, interrupted: bool = False) -> State:
    """The state of a Stage whose steps are over. A service counts when it failed before the steps could use it."""
    states = [result.state for result in progress.results.values()]
    if interrupted:
        return State.CANCELLED
    if progress.cancelled or any(state.bad for state in states):
        return State.FAILED
    steps = [progress.results[step.name].state for step in stage.steps if step.name in progress.results]
    if all(state == State.SKIPPED for state in steps):
        return State.SKIPPED
    return State.PASSED


def _waits(
    step: StepSpec,
    services: Mapping[str, StepSpec],
    background: Collection[str],
    results: Mapping[str, StepResult],
    progress: Progress,
) -> bool:
    if progress.cancelled:
        return False
    # A step needs every service of its Stage; a service needs only those that it names.
    needed = [services[name] for name in step.depends_on if name in services]
    if step.name not in services:
        needed = list(services.values())
    if not all(_usable(service, results, progress) for service in needed):
        return True
    return any(name not in results and name not in services and name not in background for name in step.depends_on)


def _usable(service: StepSpec, results: Mapping[str, StepResult], progress: Progress) -> bool:
    """Whether nothing has to wait for this service (any more): it is up, or over."""
    if service.name in results or service.name in progress.ready:
        return True
    return service.name in progress.running and not service.tells


def _reason_to_skip(step: StepSpec, stage: StageSpec, results: Mapping[str, StepResult], progress: Progress) -> str:
    if progress.cancelled:
        return progress.cancelled
    if step.name in progress.excluded:
        return "left out"
    for other in stage.steps:
        result = results.get(other.name)
        if result is not None and result.exit_code == EXIT_STOP_EARLY and result.state == State.PASSED:
            return f"{other.name} ended the stage with exit code {EXIT_STOP_EARLY}"
    return "" if step in stage.services else _unfit(step, results)


def _unfit(step: StepSpec, results: Mapping[str, StepResult]) -> str:
    """Why the Stage's state so far is not what the step's `when.status` asks for, or empty."""
    failed = next((result.name for result in results.values() if result.state.bad), "")
    if failed and not step.run_on_failure:
        return f"{failed} failed"
    if not failed and not step.run_on_success:
        return "nothing failed"
    return ""
