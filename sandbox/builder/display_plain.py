"""Progress as lines: BuildKit's plain form, so that eyes and scripts that know it find their way.

`#5 [build 2/4] RUN make` begins a step, `#5 0.123 …` is a line of its output with the seconds since, then come `#5
CACHED`, `#5 DONE 1.2s` or `#5 ERROR: …`. Output of containers is passed on byte for byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.builder.progress import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.builder.progress import Step


class PlainDisplay:
    """`write` takes bytes for a log."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def begun(self, step: Step) -> None:
        """Its name."""
        self._line(step, step.name)

    def printed(self, step: Step, line: bytes) -> None:
        """The line with its time."""
        self._write(f"#{step.number} {step.seconds:.3f} ".encode() + line + b"\n")

    def noted(self, step: Step, text: str) -> None:
        """The remark as it is."""
        self._line(step, text)

    def ended(self, step: Step) -> None:
        """How it ended, and an empty line."""
        texts = {
            Outcome.DONE: f"DONE {step.seconds:.1f}s",
            Outcome.CACHED: "CACHED",
            Outcome.FAILED: f"ERROR: {step.message}",
            Outcome.CANCELLED: "CANCELED",
        }
        self._line(step, f"{texts[step.outcome]}\n")

    def suspend(self, step: Step) -> None:
        """All that it printed is there."""

    def resume(self) -> None:
        """The next line is as any other."""

    def close(self) -> None:
        """Nothing is left to say."""

    def _line(self, step: Step, text: str) -> None:
        self._write(f"#{step.number} {text}\n".encode("utf-8", "surrogateescape"))
