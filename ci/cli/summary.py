"""The end of `ci-run local`: a table of Stages and steps, or the same as one JSON object. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ci.cli.titles import titles
from runners.schedule import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runners.report import StageResult
    from runners.schedule import StepResult
    from runners.testreports import Tally

_SHOWN = 20  # failed tests of one step
_COLOURS = {
    State.PASSED: 32,
    State.FAILED: 31,
    State.ERROR: 31,
    State.CANCELLED: 31,
    State.IGNORED: 33,
    State.SKIPPED: 90,
}


def overall(results: Sequence[StageResult], *, interrupted: bool) -> State:
    """The state of the whole run."""
    if interrupted:
        return State.CANCELLED
    if any(result.state.bad for result in results):
        return State.FAILED
    return State.PASSED


def table(results: Sequence[StageResult], *, interrupted: bool, seconds: float, colour: bool) -> str:
    """One line for each step, the Stage's name before its first one; then one line for the whole."""
    rows = [("stage", "step", "result", "time", "exit", ""), *_rows(results)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["", *(_line(row, widths, colour=colour) for row in rows), ""]
    if failures := tuple(_failures(results)):
        lines += [_coloured("failed tests:", State.FAILED, colour=colour), *(f"  {line}" for line in failures), ""]
    state = overall(results, interrupted=interrupted)
    word = _coloured("interrupted" if interrupted else state.value, state, colour=colour)
    passed = sum(result.state is State.PASSED for result in results)
    count = f": {passed} of {len(results)} stages passed" if len(results) > 1 else ""
    return "\n".join([*lines, f"{word} in {duration(seconds)}{count}"]) + "\n"


def as_json(results: Sequence[StageResult], *, interrupted: bool, seconds: float) -> dict[str, Any]:
    """The same for programs; times in seconds, `None` for what never ran."""
    return {
        "state": overall(results, interrupted=interrupted).value,
        "seconds": round(seconds, 3),
        "stages": [
            {
                "name": result.stage.name,
                "number": result.stage.number,
                "matrix": dict(result.stage.matrix),
                "state": result.state.value,
                "seconds": _rounded(result.duration),
                "reason": result.reason,
                "steps": [
                    {
                        "name": step.name,
                        "service": step.name in {service.name for service in result.stage.services},
                        **outcome(step),
                    }
                    for step in result.steps
                ],
                "skipped": list(result.stage.skipped),
            }
            for result in results
        ],
    }


def outcome(step: StepResult) -> dict[str, Any]:
    """How one step ended."""
    return {
        "state": step.state.value,
        "exit_code": step.exit_code,
        "seconds": _rounded(step.duration),
        "reason": step.reason,
        "cached": step.cached,
        "outputs": dict(step.outputs),
        "tests": None if step.tests is None else asdict(step.tests),
    }


def counted(tests: Tally) -> str:
    """`12 tests passed`, `2 of 12 tests failed`, with what was skipped."""
    word = "test" if tests.total == 1 else "tests"
    skipped = f", {tests.skipped} skipped" if tests.skipped else ""
    if tests.failed:
        return f"{tests.failed} of {tests.total} {word} failed{skipped}"
    return f"{tests.total - tests.skipped} {word} passed{skipped}"


def _failures(results: Sequence[StageResult]) -> Iterator[str]:
    """The tests that failed, with their steps."""
    names = titles([result.stage for result in results])
    for result in results:
        for step in result.steps:
            if step.tests is None or not step.tests.failed:
                continue
            title = f"{names[result.stage.number]}/{step.name}" if len(results) > 1 else step.name
            shown = step.tests.failures[:_SHOWN]
            yield from (f"{title}: {one.name}" + (f": {one.message}" if one.message else "") for one in shown)
            if more := step.tests.failed - len(shown):
                yield f"{title}: and {more} more"


def duration(seconds: float) -> str:
    """0.3 s, 12.4 s, 2 min 05 s, 1 h 02 min."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _rows(results: Sequence[StageResult]) -> Iterator[tuple[str, ...]]:
    """Stage, step, state, time, exit code, reason."""
    names = titles([result.stage for result in results])
    for result in results:
        title = names[result.stage.number]
        services = {service.name for service in result.stage.services}
        for step in result.steps:
            name = f"{step.name} (service)" if step.name in services else step.name
            took = "" if step.duration is None else duration(step.duration)
            code = "" if step.exit_code is None or step.state is State.PASSED else str(step.exit_code)
            yield title, name, step.state.value, took, code, _remark(step)
            title = ""
        for name in result.stage.skipped:
            yield title, name, State.SKIPPED.value, "", "", "its conditions do not hold"
            title = ""
        if title:
            yield title, "", result.state.value, "", "", result.reason


def _remark(step: StepResult) -> str:
    return "; ".join(
        part for part in ("cached" if step.cached else step.reason, counted(step.tests) if step.tests else "") if part
    )


def _line(row: tuple[str, ...], widths: Sequence[int], *, colour: bool) -> str:
    stage, step, state, took, code, reason = row
    blank = " " * (widths[2] - len(state))
    shown = _coloured(state, State(state), colour=colour) if state in set(State) else state
    columns = (f"{stage:<{widths[0]}}", f"{step:<{widths[1]}}", shown + blank, f"{took:>{widths[3]}}")
    return "  ".join((*columns, f"{code:>{widths[4]}}", reason)).rstrip()


def _coloured(word: str, state: State, *, colour: bool) -> str:
    return f"\x1b[{_COLOURS[state]}m{word}\x1b[0m" if colour else word


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
