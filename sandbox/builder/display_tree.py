"""Progress on a terminal: what is done scrolls away as lines, below them stands what goes on, with times and output.

    => CACHED [build 2/4] WORKDIR /src                     0.0s
    => [build 3/4] COPY . .                                0.3s
    [+] Building 4.1s (7/9)
    => [build 4/4] RUN make                                3.8s
    => => cc -c main.c

The lower part is drawn anew ten times a second by a thread, never higher than the terminal; so forty steps are as
readable as four. Lines are cut to the width as it is at the time. Of a step that fails the last lines are printed at
the end.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from sandbox.builder.progress import Outcome
from sandbox.builder.textwidth import cut, width
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.builder.progress import Step

_PERIOD = 0.1  # seconds between two pictures
_KEPT = 500  # lines of each step's output
_LAST_WORDS = 20  # of which are shown above a shell
_TAIL = 6  # of which are shown while it goes on
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)")
_HIDE, _SHOW, _BELOW = "\x1b[?25l", "\x1b[?25h", "\x1b[J"
_COLOURS = {Outcome.DONE: "34", Outcome.CACHED: "34", Outcome.FAILED: "31", Outcome.CANCELLED: "33"}
_NARROW = 20  # columns below which there is no room for times


class Size(NamedTuple):
    """Of a terminal, in cells."""

    rows: int
    columns: int


class TreeDisplay:
    """`write` takes text for a terminal whose size `size` says; `colour` is false where nobody wants any."""

    def __init__(self, write: Callable[[str], object], size: Callable[[], Size], *, colour: bool) -> None:
        self._write = write
        self._size = size
        self._colour = colour
        self._begun = time.monotonic()
        self._total = 0
        self._ended = 0
        self._running: list[Step] = []
        self._output: dict[int, deque[str]] = {}
        self._failed: list[Step] = []
        self._suspended = False
        self._drawn: list[int] = []  # widths of the lines of the lower part
        self._lock = threading.Lock()  # of the terminal: the thread draws, too
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._redraw, name="progress", daemon=True)
        self._thread.start()

    def begun(self, step: Step) -> None:
        """It is among those that go on."""
        with self._lock:
            self._total += 1
            self._running.append(step)
            self._output[step.number] = deque(maxlen=_KEPT)

    def printed(self, step: Step, line: bytes) -> None:
        """The line is the last of the step's; of one that a carriage return writes over, what is seen in the end."""
        with self._lock:
            if step.number in self._output:
                self._output[step.number].append(_clean(line))

    def noted(self, step: Step, text: str) -> None:  # noqa: ARG002
        """A remark is for ever."""
        with self._lock:
            self._draw([f" => => {text}"])

    def ended(self, step: Step) -> None:
        """It scrolls away."""
        with self._lock:
            self._ended += 1
            self._running.remove(step)
            if step.outcome is Outcome.FAILED:
                self._failed.append(step)
            else:
                del self._output[step.number]
            self._draw([self._of_step(step)])

    def suspend(self, step: Step) -> None:
        """The lower part goes; what the step has printed last stays."""
        with self._lock:
            printed = list(self._output[step.number])[-_LAST_WORDS:]
            self._draw([self._of_step(step), *(f" => => # {line}" for line in printed)], last=True)
            self._suspended = True

    def resume(self) -> None:
        """The lower part comes back below whatever is there now."""
        with self._lock:
            self._suspended = False

    def close(self) -> None:
        """The lower part goes; how long it all took and what failing steps have printed stays."""
        self._closed.set()
        self._thread.join()
        with self._lock:
            for step in self._running:  # interrupted
                step.outcome = Outcome.CANCELLED
            lines = [self._of_step(step) for step in self._running]
            self._running = []
            word = "ERROR" if self._failed else "CANCELED" if lines else "FINISHED"
            lines.append(f"{self._head()} {word}")
            for step in self._failed:
                if printed := self._output[step.number]:
                    lines += ["------", f" > {step.name}:", *printed, "------"]
            self._draw(lines, last=True)

    def _redraw(self) -> None:
        with suppress(OSError, SandboxError):  # nobody looks any more: the builder hears of it, too
            while not self._closed.wait(_PERIOD):
                with self._lock:
                    if not self._suspended:
                        self._draw([])

    def _draw(self, above: list[str], *, last: bool = False) -> None:
        """Print lines that stay, and the lower part below them."""
        size = self._size()
        rows = sum(max(1, -(-one // size.columns)) for one in self._drawn)  # a narrower terminal has wrapped them
        parts = [_HIDE, f"\x1b[{rows}A" if rows else "", "\r", _BELOW, *(f"{line}\n" for line in above)]
        self._drawn = []
        for line in [] if last else self._lower(size):
            parts.append(f"{line}\n")
            self._drawn.append(width(_ESCAPES.sub("", line)))
        self._write("".join([*parts, _SHOW]))

    def _lower(self, size: Size) -> list[str]:
        """What goes on, in at most the terminal's height less one line for the cursor."""
        room = max(1, size.rows - 2)
        shown = self._running[:room] if len(self._running) <= room else self._running[: room - 1]
        spare = room - len(shown) if len(shown) == len(self._running) else 0
        lines = [cut(self._head(), size.columns)]
        for number, step in enumerate(shown):
            lines.append(self._of_step(step))
            share = min(_TAIL, spare // (len(shown) - number))
            tail = list(self._output[step.number])[-share:] if share else []
            spare -= len(tail)
            lines += [self._coloured("2", cut(f" => => # {line}", size.columns)) for line in tail]
        if len(shown) < len(self._running):
            lines.append(cut(f" => and {len(self._running) - len(shown)} more", size.columns))
        return lines

    def _head(self) -> str:
        return f"[+] Building {time.monotonic() - self._begun:.1f}s ({self._ended}/{self._total})"

    def _of_step(self, step: Step) -> str:
        """A step on one line, its time at the right edge."""
        columns = self._size().columns
        word = f"{step.outcome.upper()} " if step.outcome is not Outcome.DONE else ""
        word = "ERROR " if step.outcome is Outcome.FAILED else word
        seconds = f" {step.seconds:.1f}s" if columns >= _NARROW else ""
        text = cut(f" => {word}{step.name}", columns - len(seconds))
        line = text + " " * (columns - len(seconds) - width(text)) + seconds
        return line if step.ended is None and not word else self._coloured(_COLOURS[step.outcome], line)

    def _coloured(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text


def _clean(line: bytes) -> str:
    """A line of a container without anything that steers a terminal."""
    text = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
    text = _ESCAPES.sub("", text).expandtabs()
    return "".join(one if one.isprintable() else "�" for one in text)
