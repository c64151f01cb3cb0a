"""What a build says while it goes on: BuildKit's plain form, so that eyes and scripts that know it find their way.

`#5 [build 2/4] RUN make` begins a step, `#5 0.123 …` is a line of its output with the seconds since, then come `#5
CACHED`, `#5 DONE 1.2s` or `#5 ERROR: …`. Output of containers is cut into lines here and passed on byte for byte.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sandbox.dockerfile.diagnostics import printable

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME_LIMIT = 200  # characters of an instruction


class Step:
    """One numbered step."""

    def __init__(self, write: Callable[[bytes], object], number: int, name: str, said: set[str]) -> None:
        self._write = write
        self._said = said
        self._number = number
        self._started = time.monotonic()
        self._rest = b""
        self._line(printable(name if len(name) <= _NAME_LIMIT else name[: _NAME_LIMIT - 1] + "…"))

    def output(self, data: bytes) -> None:
        """What the step's command printed; lines appear when they are complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._output_line(line)

    def note(self, text: str) -> None:
        """A remark of the builder's."""
        self._line(printable(text))

    def note_once(self, text: str) -> None:
        """A remark that one step of a build makes for all."""
        if text not in self._said:
            self._said.add(text)
            self.note(text)

    def cached(self) -> None:
        """The step was done before."""
        self._line("CACHED\n")

    def done(self) -> None:
        """The step is done."""
        self._flush()
        self._line(f"DONE {time.monotonic() - self._started:.1f}s\n")

    def failed(self, message: str) -> None:
        """The step cannot be done."""
        self._flush()
        self._line(f"ERROR: {printable(message)}\n")

    def _flush(self) -> None:
        if self._rest:
            self._output_line(self._rest)
            self._rest = b""

    def _output_line(self, line: bytes) -> None:
        prefix = f"#{self._number} {time.monotonic() - self._started:.3f} ".encode()
        self._write(prefix + line.removesuffix(b"\r") + b"\n")

    def _line(self, text: str) -> None:
        self._write(f"#{self._number} {text}\n".encode("utf-8", "surrogateescape"))


class Progress:
    """Numbers the steps of one build; `write` takes bytes for the terminal."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._number = 0
        self._said: set[str] = set()

    def begin(self, name: str) -> Step:
        """The next step."""
        self._number += 1
        return Step(self._write, self._number, name, self._said)
