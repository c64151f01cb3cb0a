"""How the end of a container becomes the result of a step or a service. Pure; called by `runners.stage`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runners import schedule
from runners.running import seconds
from runners.schedule import State

if TYPE_CHECKING:
    from ci.pipeline.spec import StepSpec
    from runners.backend import Ended
    from runners.running import Running
    from runners.schedule import StepResult


def of_step(running: Running, ended: Ended, *, cancelled: str) -> StepResult:
    """A step's; `cancelled` is why the Stage was ended, or empty."""
    step = running.step
    state = schedule.judge(step, ended.code, timed_out=running.timed_out, cancelled=running.cancelled)
    if state is State.PASSED and running.spoiled:
        return running.result(schedule.judge(step, 1), ended.code, running.spoiled)
    reason = cancelled if running.cancelled else _explain(step, ended, timed_out=running.timed_out)
    return running.result(state, ended.code, reason if state is not State.PASSED else "")


def of_service(running: Running, ended: Ended, *, stopping: bool) -> StepResult:
    """A service's, which counts only where it was never ready: as in drone and Woodpecker, its exit code means nothing
    to the Stage. `stopping`: it was asked to end.
    """
    if stopping or running.cancelled:
        return running.result(State.PASSED, None, "")
    if never := _never_ready(running):
        result = running.result(State.FAILED, None if running.timed_out else ended.code, never)
        return replace(result, last_lines=running.last_lines)
    state = State.IGNORED if ended.code else State.PASSED
    return running.result(state, ended.code, f"ended with exit code {ended.code}" if ended.code else "")


def _never_ready(running: Running) -> str:
    """Why a service that was waited for could never be used, or empty."""
    if not running.missing or not running.step.must_be_ready:
        return ""
    if running.timed_out:
        return f"not ready: {running.missing} within {seconds(running.step.wait)}"
    return f"not ready: {running.missing} before it ended"


def _explain(step: StepSpec, ended: Ended, *, timed_out: bool) -> str:
    """Why a step failed, where the exit code alone does not say it."""
    if timed_out and step.timeout is not None:
        return f"its timeout of {seconds(step.timeout)} is over"
    if ended.error:
        return ended.error
    if ended.oom:
        limit = f" (its limit is {step.memory / (1 << 20):g} MiB)" if step.memory else ""
        return f"out of memory{limit}"
    return ""
