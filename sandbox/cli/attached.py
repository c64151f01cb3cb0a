"""Running a process in the foreground: its streams, signals and terminal are this process's own, as with docker.

Used by `run`, `start -a` and `exec`. Without a terminal, signals that this process gets go to the container's process
instead, and its exit code is ours. With one (`-t`), ours is raw while it runs, every key goes through, and ctrl-p
ctrl-q leaves it alone.
"""

from __future__ import annotations

import os
import signal
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from sandbox.cli.output import tell
from sandbox.cli.relay import DETACH_KEYS, Detached, Input, Output, relay
from sandbox.cli.session import reclaim_others, warn
from sandbox.errors import SandboxError
from sandbox.runtime.spec import Stdio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.runtime.engine import Engine
    from sandbox.runtime.process import Process
    from sandbox.runtime.spec import ExitStatus

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def hold_signals() -> None:
    """Signals wait: a Ctrl-C must not fall between a container's start and the moment when it can be passed on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def check_terminal(*, terminal: bool, interactive: bool) -> None:
    """Refuse `-it` without a terminal, in docker's words and with its exit code."""
    if terminal and interactive and not os.isatty(0):
        raise SandboxError("the input device is not a TTY", hint="leave out -t", reference="no-terminal", exit_code=1)


def run_container(
    engine: Engine,
    identifier: str,
    *,
    terminal: bool,
    interactive: bool,
    proxy: bool = True,
    detach: bytes = DETACH_KEYS,
) -> ExitStatus | None:
    """Start a container in the foreground; how it ended, or `None` when it was left alone. Signals are held."""

    def begin(stdio: Stdio) -> Process:
        process = engine.start(identifier, stdio)
        reclaim_others(engine, identifier)  # only now, while the container runs on another processor
        return process

    return stay(engine, identifier, begin, terminal=terminal, interactive=interactive, proxy=proxy, detach=detach)


def stay(
    engine: Engine,
    identifier: str,
    begin: Callable[[Stdio], Process],
    *,
    terminal: bool,
    interactive: bool,
    proxy: bool,
    detach: bytes,
) -> ExitStatus | None:
    """Be the foreground of a container that `begin` starts or attaches to; see `run_container`."""

    def forward(_: Process, number: int) -> None:
        with suppress(SandboxError):  # it may have ended
            engine.kill(identifier, number)

    def resize(_: Process, rows: int, columns: int) -> None:
        engine.resize(identifier, rows, columns)

    if not terminal:
        return piped(begin, forward if proxy else None, interactive=interactive, to_the_end=True)
    try:
        return on_terminal(
            lambda: container_terminal(begin, interactive=interactive, detach=detach),
            resize,
            forward if proxy else None,
        )
    except Detached:
        engine.tell(identifier, "detach")
        tell("read escape sequence")
        return None


def piped(
    begin: Callable[[Stdio], Process],
    forward: Callable[[Process, int], None] | None,
    *,
    interactive: bool,
    to_the_end: bool,
) -> ExitStatus:
    """Start by `begin` with pipes in place of our streams and move bytes until the end; signals go to `forward`.

    After an error descriptors stay open: this process ends then.
    """
    hold_signals()
    stdin_read, stdin_write = os.pipe2(os.O_CLOEXEC) if interactive else (None, None)
    stdout_read, stdout_write = os.pipe2(os.O_CLOEXEC)
    stderr_read, stderr_write = os.pipe2(os.O_CLOEXEC)
    process = begin(Stdio(stdin=stdin_read, stdout=stdout_write, stderr=stderr_write))
    _close(stdin_read, stdout_write, stderr_write)
    _pass_on(forward, process)
    warn(process.warnings)
    source = Input(0, stdin_write) if stdin_write is not None else None
    outputs = [Output(stdout_read, 1), Output(stderr_read, 2)]
    return _ended(relay(process, outputs, source, to_the_end=to_the_end))


class Ends:
    """Where a terminal in a container is reached: read its output from `screen`, write what is typed to `keyboard`."""

    def __init__(self, process: Process, screen: int, keyboard: int | None, detach: bytes = b"") -> None:
        self.process = process
        self.screen = screen
        self.keyboard = keyboard
        self.detach = detach


def container_terminal(begin: Callable[[Stdio], Process], *, interactive: bool, detach: bytes) -> Ends:
    """Start a container whose terminal is its supervisor's, which pipes lead to."""
    stdin_read, stdin_write = os.pipe2(os.O_CLOEXEC) if interactive else (None, None)
    stdout_read, stdout_write = os.pipe2(os.O_CLOEXEC)
    process = begin(Stdio(stdin=stdin_read, stdout=stdout_write))
    _close(stdin_read, stdout_write)
    return Ends(process, stdout_read, stdin_write, detach)


def exec_terminal(process: Process, *, interactive: bool, detach: bytes) -> Ends:
    """An exec's terminal is ours; its supervisor has it, too, and reads it when we leave it alone."""
    assert process.terminal is not None  # noqa: S101  (it was asked for)
    return Ends(process, process.terminal, os.dup(process.terminal) if interactive else None, detach)


def on_terminal(
    begin: Callable[[], Ends],
    resize: Callable[[Process, int, int], None],
    forward: Callable[[Process, int], None] | None,
) -> ExitStatus:
    """Start by `begin` what has a terminal of its own, and be its keyboard and screen until it ends.

    Signals go to `forward` where nothing is typed; else SIGHUP and SIGTERM end this process, with the terminal as it
    was. Raises Detached.
    """
    from sandbox.kernel.pty import RawTerminal  # noqa: PLC0415  (only with a terminal)

    hold_signals()
    ends = begin()
    process, keyboard = ends.process, ends.keyboard

    def window(_: int) -> None:
        size = _window_size()
        if size != (0, 0):
            with suppress(SandboxError, OSError):  # it may have ended
                resize(process, *size)

    warn(process.warnings)
    window(signal.SIGWINCH)
    with RawTerminal(0) if keyboard is not None else nullcontext():
        _handle((signal.SIGWINCH,), window)
        if keyboard is not None:
            _handle((signal.SIGHUP, signal.SIGTERM), _leave)
            forward = None
        _pass_on(forward, process)
        source = Input(0, keyboard, detach=ends.detach) if keyboard is not None else None
        status = relay(process, [Output(ends.screen, 1)], source, to_the_end=False)
    return _ended(status)


def _window_size() -> tuple[int, int]:
    from sandbox.kernel.pty import get_size  # noqa: PLC0415

    for descriptor in (1, 0):
        if os.isatty(descriptor):
            return get_size(descriptor)
    return (0, 0)


def _pass_on(forward: Callable[[Process, int], None] | None, process: Process) -> None:
    """Signals that came while they were held arrive now."""
    if forward is not None:
        _handle(SIGNALS, lambda number: forward(process, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _handle(signals: Iterable[int], act: Callable[[int], None]) -> None:
    """Python calls the handler also while a write to a slow reader blocks, and goes on with that afterwards.

    What this process was told to ignore (nohup, or a shell's job in the background) stays ignored.
    """
    for number in signals:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: act(number))


def _leave(number: int) -> None:
    raise SystemExit(128 + number)


def _close(*descriptors: int | None) -> None:
    for descriptor in descriptors:
        if descriptor is not None:
            os.close(descriptor)


def _ended(status: ExitStatus) -> ExitStatus:
    if status.error:
        warn([status.error])
    return status
