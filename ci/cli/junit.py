"""`ci-run local --junit FILE`: the run as a JUnit report, as other systems read it.

A Stage is a test suite, a step a test case; failed ones come with the end of their output. The form is that of the
Jenkins project's `junit-10.xsd`, which has no official specification beside it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from ci.cli.titles import titles
from runners.schedule import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ci.pipeline.spec import StageSpec, StepSpec
    from runners.report import StageResult
    from runners.schedule import StepResult

_TAIL = 1 << 15  # bytes of a step's output that are kept
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2
_ESCAPE = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")  # colours


class JUnit:
    """A reporter that keeps the end of each step's output, and writes the report when all is over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tails: dict[tuple[int, str], Tail] = {}

    def stage_started(self, stage: StageSpec) -> None:
        """The results have it."""

    def step_started(self, stage: StageSpec, step: StepSpec) -> Tail:
        """Keep the end of its output."""
        return self._tails.setdefault((stage.number, step.name), Tail())

    def step_finished(self, stage: StageSpec, result: StepResult) -> None:
        """The results have it."""

    def notice(self, stage: StageSpec, text: str) -> None:
        """Not part of a report."""

    def stage_expanded(self, stage: StageSpec, cells: Sequence[StageSpec]) -> None:
        """The results have it."""

    def stage_finished(self, result: StageResult) -> None:
        """The results have it."""

    def write(self, results: Sequence[StageResult]) -> None:
        """The file. Raises OSError."""
        self._path.write_text(report(results, {key: tail.text() for key, tail in self._tails.items()}), "utf-8")


class Tail:
    """The last bytes of an output."""

    def __init__(self) -> None:
        self._data = b""

    def write(self, data: bytes) -> None:
        """The next bytes."""
        self._data = (self._data + data)[-_TAIL:]

    def close(self) -> None:
        """Nothing to do."""

    def text(self) -> str:
        """From the first whole line on, without colours."""
        data = self._data if len(self._data) < _TAIL else self._data.partition(b"\n")[2]
        return _ESCAPE.sub("", data.decode("utf-8", "replace"))


def report(results: Sequence[StageResult], outputs: Mapping[tuple[int, str], str]) -> str:
    """The XML. `outputs` are by the Stage's number and the step's name."""
    names = titles([result.stage for result in results])
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for result in results:
        steps = [step for step in result.steps if step.name not in {one.name for one in result.stage.services}]
        failures = sum(step.state in {State.FAILED, State.CANCELLED} for step in steps)
        errors = sum(step.state is State.ERROR for step in steps) + (result.state is State.ERROR and not steps)
        skipped = sum(step.state is State.SKIPPED for step in steps) + len(result.stage.skipped)
        name = names[result.stage.number]
        lines.append(
            f'  <testsuite name={_attribute(name)} tests="{len(steps) + len(result.stage.skipped)}" '
            f'failures="{failures}" errors="{errors}" skipped="{skipped}" time="{result.duration or 0:.3f}">'
        )
        if result.reason and not steps:
            lines.append(f"    <system-err>{_text(result.reason)}</system-err>")
        for step in steps:
            lines += _case(name, step, outputs.get((result.stage.number, step.name), ""))
        for step_name in result.stage.skipped:
            lines.append(f"    <testcase classname={_attribute(name)} name={_attribute(step_name)}>")
            lines += ['      <skipped message="its conditions do not hold"/>', "    </testcase>"]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _case(suite: str, step: StepResult, output: str) -> Iterator[str]:
    attributes = f'classname={_attribute(suite)} name={_attribute(step.name)} time="{step.duration or 0:.3f}"'
    if step.state is State.PASSED:
        yield f"    <testcase {attributes}/>"
        return
    message = step.reason or (f"exit code {step.exit_code}" if step.exit_code is not None else step.state.value)
    yield f"    <testcase {attributes}>"
    if step.state is State.SKIPPED:
        yield f"      <skipped message={_attribute(message)}/>"
    elif step.state is State.ERROR:
        yield f"      <error message={_attribute(message)}/>"
    elif step.state is not State.IGNORED:  # a failure that does not count is no failure of the report either
        yield f"      <failure message={_attribute(message)}/>"
    if output:
        yield f"      <system-out>{_text(output)}</system-out>"
    yield "    </testcase>"


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", text))
