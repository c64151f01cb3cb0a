"""`ci-run local --json`: everything that happens as JSON, one object a line, for programs.

Each object has `event`, `time` (seconds since 1970) and what belongs to it: `stage-started`, `step-started`, `output`
(one line of a step), `step-finished`, `notice`, `stage-finished`, `message` (of the run itself) and, as the last line,
`summary`. docs/local.md describes the fields.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ci.cli import summary
from ci.cli.titles import replaced, titles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ci.cli.writing import Writer
    from ci.pipeline.spec import StageSpec, StepSpec
    from runners.report import StageResult
    from runners.schedule import StepResult

_LONGEST_LINE = 1 << 16  # bytes; a longer one becomes several events


class EventLines:
    """The display that writes them. `clock` gives seconds since 1970."""

    def __init__(self, writer: Writer, stages: Sequence[StageSpec], clock: Callable[[], float]) -> None:
        self._writer = writer
        self._stages = tuple(stages)
        self._titles = titles(stages)
        self._clock = clock

    def stage_started(self, stage: StageSpec) -> None:
        """With its matrix cell."""
        self._tell("stage-started", **self._stage(stage), matrix=dict(stage.matrix))

    def step_started(self, stage: StageSpec, step: StepSpec) -> EventLog:
        """With its image; its output follows."""
        fields = {**self._stage(stage), "step": step.name}
        self._tell("step-started", **fields, image=step.image, service=step in stage.services)
        return EventLog(lambda line: self._tell("output", **fields, line=line))

    def step_finished(self, stage: StageSpec, result: StepResult) -> None:
        """How it went."""
        self._tell("step-finished", **self._stage(stage), step=result.name, **summary.outcome(result))

    def notice(self, stage: StageSpec, text: str) -> None:
        """A sentence about a Stage."""
        self._tell("notice", **self._stage(stage), text=text)

    def stage_expanded(self, stage: StageSpec, cells: Sequence[StageSpec]) -> None:
        """The cells, which are Stages from now on."""
        fields = self._stage(stage)
        self._stages = replaced(self._stages, stage, cells)
        self._titles |= titles(self._stages)
        self._tell(
            "stage-expanded", **fields, cells=[{**self._stage(cell), "matrix": dict(cell.matrix)} for cell in cells]
        )

    def stage_finished(self, result: StageResult) -> None:
        """How it went."""
        fields = self._stage(result.stage)
        self._tell("stage-finished", **fields, state=result.state.value, reason=result.reason)

    def say(self, text: str) -> None:
        """A sentence about the run."""
        self._tell("message", text=text)

    def interrupt(self) -> None:
        """No reader holds the run from now on."""
        self._writer.interrupt()

    def summarize(self, results: Sequence[StageResult], *, interrupted: bool, seconds: float) -> None:
        """The last line."""
        self._tell("summary", **summary.as_json(results, interrupted=interrupted, seconds=seconds))

    def _stage(self, stage: StageSpec) -> dict[str, Any]:
        return {"stage": self._titles[stage.number], "number": stage.number}

    def _tell(self, event: str, **fields: Any) -> None:
        text = json.dumps({"event": event, "time": round(self._clock(), 3), **fields}, ensure_ascii=False)
        self._writer.write(text.encode("utf-8", "replace") + b"\n")


class EventLog:
    """Cuts a step's output into lines."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._partial = b""

    def write(self, data: bytes) -> None:
        """The next bytes."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace"))
        while len(self._partial) > _LONGEST_LINE:
            self._line(self._partial[:_LONGEST_LINE].decode("utf-8", "replace"))
            self._partial = self._partial[_LONGEST_LINE:]

    def close(self) -> None:
        """What is left is a line, though its end never came."""
        if self._partial:
            self._line(self._partial.decode("utf-8", "replace"))
            self._partial = b""
