"""The standard streams of one container in its supervisor: what it gets, who is attached, what waits to be read.

Made for each container and kept over its restarts: who reads its output reads that of the next run, too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sandbox.runtime.log import STDERR, STDOUT, LogWriter
from sandbox.runtime.spec import LogDriver
from sandbox.runtime.streams import Input, Output

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.runtime.spec import ContainerSpec, Stdio
    from sandbox.runtime.streams import Part

_OUTPUTS = ("stdout", "stderr")


def _writer(spec: ContainerSpec, folder: Path) -> LogWriter:
    options = spec.log_options
    most = int(options["max-size"]) if "max-size" in options else None
    return LogWriter(folder / "log", most=most, files=int(options.get("max-file", "1")))


class StandardStreams:
    """`attached` are the starter's descriptors, taken over; `terminal` is the master of the container's, or -1."""

    def __init__(self, loop: Part, spec: ContainerSpec, attached: Stdio, folder: Path) -> None:
        self.terminal = -1
        self._loop = loop
        self._spec = spec
        self._attached: dict[str, int | None] = dict(attached._asdict())
        self._log = _writer(spec, folder) if spec.log_driver is LogDriver.LOCAL else None
        self._ours: dict[str, int] = {}
        self._outputs: list[Output] = []
        self._input: Input | None = None
        self._unused = {descriptor for descriptor in attached if descriptor is not None}  # nobody's yet: closed at last

    @property
    def error(self) -> str:
        """Why output is no longer kept; empty while it is."""
        return self._log.error if self._log is not None else ""

    def make(self) -> tuple[int, int, int]:
        """The container's standard input, output and error, which the caller closes; then `open` or `abandon`.

        What the starter attached goes straight through where nothing has to be kept of it: one hop less for a step's
        million lines.
        """
        self._ours = {}
        if self._spec.terminal:
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            return null, null, null  # the terminal's slave takes their place in init
        theirs = (self._make_input(), *(self._make_output(name) for name in _OUTPUTS))
        self._unused.difference_update(theirs)
        return theirs[0], theirs[1], theirs[2]

    def _make_input(self) -> int:
        attached = self._attached["stdin"]
        if not self._spec.open_stdin:
            return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        if attached is not None:
            self._attached["stdin"] = None  # the container's own from here on
            return attached
        read_end, self._ours["stdin"] = os.pipe2(os.O_CLOEXEC)
        return read_end

    def _make_output(self, name: str) -> int:
        attached = self._attached[name]
        if self._log is not None:
            self._ours[name], write_end = os.pipe2(os.O_CLOEXEC)
            return write_end
        if attached is not None:
            self._attached[name] = None
            return attached
        return os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)

    def abandon(self) -> None:
        """The container was not started after all."""
        for descriptor in self._ours.values():
            os.close(descriptor)
        self._ours = {}

    def open(self, terminal: int) -> None:
        """Begin to read what the container prints; `terminal` is its terminal's master, or -1."""
        self.terminal = terminal
        if terminal >= 0:
            self._read("stdout", terminal, STDOUT)
            if (typed := self._take("stdin")) is not None:
                self._input = Input(self._loop, typed, os.dup(terminal))
            return
        for name, stream in (("stdout", STDOUT), ("stderr", STDERR)):
            if name in self._ours:
                self._read(name, self._ours.pop(name), stream)
        self._unused.update(self._ours.values())  # an input that may come: the command waits for it

    def _read(self, name: str, source: int, stream: int) -> None:
        output = Output(self._loop, source, stream, self._log)
        if (sink := self._take(name)) is not None:
            output.attach(sink)
        self._outputs.append(output)

    def _take(self, name: str) -> int | None:
        descriptor = self._attached[name]
        self._attached[name] = None
        self._unused.discard(descriptor if descriptor is not None else -1)
        return descriptor

    def attach(self, streams: dict[str, int]) -> None:
        """Send what is printed from now on to further descriptors, and take input from one that nobody else gives.

        They are taken over; those that lead nowhere are closed.
        """
        for output, name in zip(self._outputs, _OUTPUTS, strict=False):
            if name in streams:
                output.attach(streams.pop(name))
        target = self.terminal if self.terminal >= 0 else self._ours.get("stdin", -1)
        if "stdin" in streams and target >= 0 and (self._input is None or self._input.closed):
            # A duplicate: its end is that of this caller's input, not of the container's.
            self._input = Input(self._loop, streams.pop("stdin"), os.dup(target))
        for descriptor in streams.values():
            os.close(descriptor)

    def drain(self) -> None:
        """Read what is left after the container's end."""
        for output in self._outputs:
            output.drain()

    def pass_on(self, *, keep: bool) -> bool:
        """Whether readers have still to take something; without `keep` those that have not are closed."""
        if keep:
            return any(output.pending() for output in self._outputs)
        for output in list(self._outputs):
            if not output.pending():
                output.close()
                self._outputs.remove(output)
        return bool(self._outputs)

    def stop_input(self) -> None:
        """Nobody is there to read it."""
        if self._input is not None:
            self._input.close()
            self._input = None

    def close_outputs(self) -> None:
        """Whoever reads sees the end."""
        for output in self._outputs:
            output.close()
        self._outputs = []

    def carry_over(self) -> None:
        """Make ready for the next run: who reads now reads on."""
        self.release()
        for output, name in zip(self._outputs, _OUTPUTS, strict=False):
            sink = self._attached[name] = output.take_sink()
            if sink is not None:
                self._unused.add(sink)
        self._outputs, self.terminal = [], -1

    def release(self) -> None:
        """Close what is held for nobody."""
        for descriptor in self._unused:
            os.close(descriptor)
        self._unused.clear()
        self._ours = {}

    def close(self) -> None:
        """Close that, and the log."""
        self.release()
        if self._log is not None:
            self._log.close()
