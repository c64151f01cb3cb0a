"""The live output of `ci-run local`: every line of every step, with the step's name before it.

A `Console` is the reporter of a build on a terminal or pipe. Bytes of the steps go through as they are: no line is cut,
nothing is decoded, a partial line waits for its end (on a terminal only for a moment, so that a question or a dot of
progress is seen). Where nobody looks at a terminal there is not one escape code of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.cli import summary
from ci.cli.summary import duration
from ci.cli.titles import replaced, titles
from runners.schedule import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ci.cli.order import Style
    from ci.cli.writing import Writer
    from ci.pipeline.spec import StageSpec, StepSpec
    from runners.loop import Loop, Timer
    from runners.report import StageResult
    from runners.schedule import StepResult

_COLOURS = (36, 33, 35, 34, 32, 96, 93, 95)  # no red: that means a failure
_RESET = b"\x1b[0m"
_LONGEST_NAME = 40
_CELLS_SHOWN = 12
_LONGEST_HELD = 1 << 16  # bytes of an unfinished line
_PARTIAL_DELAY = 0.1  # seconds until an unfinished line is shown on a terminal
_TAIL = 1 << 15  # bytes of a step's output that are kept for its failure in quiet runs
_MARKS = {
    State.PASSED: ("=", 32),
    State.FAILED: ("!", 31),
    State.IGNORED: ("!", 33),
    State.ERROR: ("!", 31),
    State.CANCELLED: ("!", 31),
    State.SKIPPED: ("-", 90),
}


class Console:
    """The display for people."""

    def __init__(self, writer: Writer, stages: Sequence[StageSpec], style: Style, loop: Loop) -> None:
        self.style = style
        self._writer = writer
        self._loop = loop
        self._open: Lines | None = None  # whose unfinished line the cursor is on
        self._quiet_logs: dict[str, Lines] = {}
        self._know(tuple(stages))

    def _know(self, stages: tuple[StageSpec, ...]) -> None:
        """Names, their width and their colours, of all Stages there are."""
        self._stages = stages
        self._several = len(stages) > 1
        self._titles = titles(stages)
        names = [self._name(stage, step.name) for stage in stages for step in (*stage.services, *stage.steps)]
        self._width = min(max(map(len, names), default=4), _LONGEST_NAME)
        self._colours = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}

    # --- the reporter ----------------------------------------------------------------------------------------------

    def stage_started(self, stage: StageSpec) -> None:
        """Nothing to say: its steps do."""

    def step_started(self, stage: StageSpec, step: StepSpec) -> Lines:
        """Lines of this step from here on."""
        name = self._name(stage, step.name)
        lines = Lines(self, self._prefix(name, "|", self._colours.get(name, 0)))
        if self.style.quiet:
            self._quiet_logs[name] = lines
        return lines

    def step_finished(self, stage: StageSpec, result: StepResult) -> None:
        """One line on how it went."""
        name = self._name(stage, result.name)
        mark, colour = _MARKS[result.state]
        lines = self._quiet_logs.pop(name, None)
        if self.style.quiet:
            if result.state not in (State.FAILED, State.ERROR):
                return
            if lines is not None:
                lines.show_tail()
        elif result.last_lines:
            prefix = self._prefix(name, "|", self._colours.get(name, 0))
            last = ("its last lines:", *(f"  {line}" for line in result.last_lines))
            self.write_lines(b"".join(prefix + line.encode("utf-8", "surrogateescape") + b"\n" for line in last))
        self.write_lines(self._prefix(name, mark, colour) + verdict(result).encode("utf-8", "surrogateescape") + b"\n")

    def notice(self, stage: StageSpec, text: str) -> None:
        """A sentence about a Stage."""
        self.say(f"{self._titles[stage.number]}: {text}" if self._several else text)

    def stage_expanded(self, stage: StageSpec, cells: Sequence[StageSpec]) -> None:
        """The cells, which are Stages from now on."""
        if cells:
            self._know(replaced(self._stages, stage, cells))
        shown = ", ".join(",".join(cell.matrix.values()) for cell in cells[:_CELLS_SHOWN])
        more = f" and {len(cells) - _CELLS_SHOWN} more" if len(cells) > _CELLS_SHOWN else ""
        self.say(f"{stage.name}: {len(cells)} cells from {', '.join(map(str, stage.cells_from))}: {shown}{more}")

    def stage_finished(self, result: StageResult) -> None:
        """Its steps have said it, unless the Stage itself went wrong."""
        if result.reason and result.state in (State.ERROR, State.FAILED):
            self.say(f"{self._titles[result.stage.number]}: {result.reason}" if self._several else result.reason)

    def summarize(self, results: Sequence[StageResult], *, interrupted: bool, seconds: float) -> None:
        """The table."""
        text = summary.table(results, interrupted=interrupted, seconds=seconds, colour=self.style.colour)
        self.write_lines(text.encode("utf-8", "surrogateescape"))

    # --- printing --------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """A line of the run itself."""
        self.write_lines(f"ci-run: {text}\n".encode("utf-8", "surrogateescape"))

    def write_lines(self, data: bytes, *, owner: Lines | None = None) -> None:
        """Whole lines; an unfinished line of somebody else is ended first."""
        if self._open is not None and self._open is not owner:
            data = b"\n" + data
        self._open = None
        self._writer.write(data)

    def write_partial(self, data: bytes, owner: Lines) -> None:
        """The beginning of a line, or more of it."""
        if self._open is not None and self._open is not owner:
            data = b"\n" + data
        self._open = owner
        self._writer.write(data)

    def is_open(self, owner: Lines) -> bool:
        """Whether the cursor is on this one's unfinished line."""
        return self._open is owner

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """A timer of the loop."""
        return self._loop.after(delay, callback)

    def interrupt(self) -> None:
        """Called by a signal handler: from now on a reader that does not read does not hold the run."""
        self._writer.interrupt()

    def _name(self, stage: StageSpec, step: str) -> str:
        return f"{self._titles[stage.number]}/{step}" if self._several else step

    def _prefix(self, name: str, mark: str, colour: int) -> bytes:
        text = f"{name:<{self._width}} {mark} "
        if not self.style.colour:
            return text.encode("utf-8", "surrogateescape")
        return _RESET + f"\x1b[{colour}m{text}".encode("utf-8", "surrogateescape") + _RESET


class Lines:
    """One step's output, on its way to the console's lines."""

    def __init__(self, console: Console, prefix: bytes) -> None:
        self._console = console
        self._prefix = prefix
        self._partial = b""
        self._timer: Timer | None = None
        self._tail = b""

    def write(self, data: bytes) -> None:
        """The next bytes."""
        if self._console.style.quiet:
            self._tail = (self._tail + data)[-_TAIL:]
            return
        end = data.rfind(b"\n") + 1
        if end:
            self._show_lines(self._partial + data[: end - 1])
            self._partial = data[end:]
        else:
            self._partial += data
        if len(self._partial) > _LONGEST_HELD:
            self._show_partial()
        elif self._partial and self._console.style.live and self._timer is None:
            self._timer = self._console.after(_PARTIAL_DELAY, self._show_partial)

    def close(self) -> None:
        """What is left is a line, though its end never came."""
        if self._timer is not None:
            self._timer.cancel()
        if self._partial:
            self._show_lines(self._partial)
        elif self._console.is_open(self):
            self._console.write_lines(b"\n", owner=self)

    def show_tail(self) -> None:
        """The last lines of a quiet step."""
        whole = len(self._tail) < _TAIL
        text = self._tail if whole else self._tail[self._tail.find(b"\n") + 1 :]
        if text:
            self._console.write_lines(self._prefixed(text.removesuffix(b"\n")) + b"\n")

    def _show_lines(self, text: bytes) -> None:
        begin = b"" if self._console.is_open(self) else self._prefix
        self._console.write_lines(begin + self._continued(text) + b"\n", owner=self)

    def _show_partial(self) -> None:
        self._timer = None
        if self._partial:
            begin = b"" if self._console.is_open(self) else self._prefix
            self._console.write_partial(begin + self._continued(self._partial), self)
            self._partial = b""

    def _prefixed(self, text: bytes) -> bytes:
        return self._prefix + self._continued(text)

    def _continued(self, text: bytes) -> bytes:
        """The prefix at each line's beginning but the first; on a terminal also after a return to it."""
        text = text.replace(b"\n", b"\n" + self._prefix)
        if self._console.style.live and b"\r" in text:
            text = text.replace(b"\r", b"\r" + self._prefix)
        return text


def verdict(result: StepResult) -> str:
    """How a step ended, in a few words."""
    if result.state is State.SKIPPED:
        return f"skipped: {result.reason}"
    if result.state is State.ERROR:
        return f"could not run: {result.reason}"
    if result.cached:
        tests = f": {summary.counted(result.tests)}" if result.tests is not None else ""
        return f"cached: {result.reason}{tests}"
    text = "failed" if result.state is State.IGNORED else result.state.value
    if result.exit_code and result.state is not State.CANCELLED:
        text += f" with exit code {result.exit_code}"
    if result.duration is not None:
        text += f" in {duration(result.duration)}"
    if result.state is State.IGNORED:
        text += ", which is ignored"
    tests = summary.counted(result.tests) if result.tests is not None else ""
    return ": ".join(part for part in (text, result.reason, tests) if part)
