"""What a build says while it goes on: numbered steps, each with its output, remarks and end, told to a display.

Steps run side by side, in any thread; a display hears of one thing at a time. There are displays for logs
(`display_plain`), for terminals (`display_tree`) and for programs (`display_json`).
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from sandbox.dockerfile.diagnostics import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

_NAME_LIMIT = 200  # characters of an instruction


class Outcome(StrEnum):
    """How a step ended."""

    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"
    CANCELLED = "canceled"  # BuildKit's spelling, in what is shown


class Step:
    """One step. `ended` is the number of seconds that it took, None while it goes on; `message` says why it failed.

    The builder calls the methods, from one thread at a time; displays read.
    """

    def __init__(self, progress: Progress, number: int, name: str) -> None:
        self._progress = progress
        self._rest = b""
        self.number = number
        self.name = printable(name if len(name) <= _NAME_LIMIT else name[: _NAME_LIMIT - 1] + "…")
        self.started = time.monotonic()
        self.ended: float | None = None
        self.outcome = Outcome.DONE
        self.message = ""

    @property
    def seconds(self) -> float:
        """How long it takes, or has taken."""
        return time.monotonic() - self.started if self.ended is None else self.ended

    def output(self, data: bytes) -> None:
        """What the step's command printed; lines are shown when they are complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._progress.tell_printed(self, line.removesuffix(b"\r"))

    def note(self, text: str) -> None:
        """A remark of the builder's."""
        self._progress.tell_noted(self, printable(text))

    def note_once(self, text: str) -> None:
        """A remark that one step of a build makes for all."""
        self._progress.tell_noted(self, printable(text), once=True)

    def cached(self) -> None:
        """The step was done before."""
        self._end(Outcome.CACHED)

    def done(self) -> None:
        """The step is done."""
        self._end(Outcome.DONE)

    def failed(self, message: str) -> None:
        """The step cannot be done."""
        self.message = printable(message)
        self._end(Outcome.FAILED)

    def cancelled(self) -> None:
        """The step is given up, since another one failed."""
        self._end(Outcome.CANCELLED)

    def suspended(self) -> AbstractContextManager[None]:
        """While the block runs the terminal is somebody else's, and whoever has something to say waits."""
        return self._progress.suspended(self)

    def _end(self, outcome: Outcome) -> None:
        if self._rest:
            self._progress.tell_printed(self, self._rest)
            self._rest = b""
        self.outcome = outcome
        self._progress.tell_ended(self)


class Display(Protocol):
    """Shows steps. Called by one thread at a time, in the order in which things happen."""

    def begun(self, step: Step) -> None:
        """A step has begun."""

    def printed(self, step: Step, line: bytes) -> None:
        """Its command printed a line, given without its end."""

    def noted(self, step: Step, text: str) -> None:
        """The builder remarks something."""

    def ended(self, step: Step) -> None:
        """It has ended: see its `outcome`."""

    def suspend(self, step: Step) -> None:
        """Leave the terminal alone until `resume`, after the last words of a step that is about to fail."""

    def resume(self) -> None:
        """The terminal is free again."""

    def close(self) -> None:
        """Nothing more will come."""


class Progress:
    """`with Progress(display) as progress:` numbers the steps of one build. Safe in threads."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._lock = threading.Lock()
        self._number = 0
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._display.close()

    def begin(self, name: str) -> Step:
        """The next step."""
        with self._lock:
            self._number += 1
            step = Step(self, self._number, name)
            self._display.begun(step)
            return step

    @contextmanager
    def suspended(self, step: Step) -> Iterator[None]:
        """Show nothing while the block runs."""
        with self._lock:
            self._display.suspend(step)
            try:
                yield
            finally:
                self._display.resume()

    def tell_printed(self, step: Step, line: bytes) -> None:
        """Pass on a line of a step."""
        with self._lock:
            self._display.printed(step, line)

    def tell_noted(self, step: Step, text: str, *, once: bool = False) -> None:
        """Pass on a remark."""
        with self._lock:
            if once and text in self._said:
                return
            self._said.add(text)
            self._display.noted(step, text)

    def tell_ended(self, step: Step) -> None:
        """Pass on that a step has ended."""
        with self._lock:
            step.ended = time.monotonic() - step.started
            self._display.ended(step)
