"""What a pull or a push does, shown: a block of lines with bars on a terminal, a line for each layer elsewhere.

The words are docker's. On a terminal the block is drawn anew, at most ten times a second; more layers than it has lines
are shown as long as something happens to them.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from sandbox.cli.output import write
from sandbox.cli.table import size
from sandbox.errors import SandboxError
from sandbox.records import NamedTuple
from sandbox.registry.client.progress import State

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_EVERY = 0.1  # seconds
_BAR = 30  # columns
_MOVING = frozenset((State.DOWNLOADING, State.EXTRACTING, State.PUSHING))
_ENDS = frozenset((State.PULLED, State.EXISTS, State.PUSHED, State.THERE, State.MOUNTED))
_FIRST = {State.WAITING: "Pulling fs layer"}


class _Row(NamedTuple):
    state: State
    done: int = 0
    total: int = 0
    detail: str = ""


class Display:
    """`with Display(fd) as progress:` writes to that descriptor; nothing where `quiet`."""

    def __init__(self, fd: int, *, quiet: bool = False) -> None:
        self._fd = fd
        self._quiet = quiet
        self._terminal = os.isatty(fd)
        self._rows: dict[str, _Row] = {}
        self._drawn = 0  # lines of the block
        self._last = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._terminal and self._rows and not self._quiet:
                self._draw()

    def layer(self, name: str, state: State, done: int = 0, total: int = 0, detail: str = "") -> None:
        """See `Progress`."""
        if self._quiet:
            return
        with self._lock:
            before = self._rows.get(name)
            if before is not None and before.state in _ENDS:  # the same blob as another layer
                return
            self._rows[name] = _Row(state, done, total, detail)
            changed = before is None or before.state != state
            if not self._terminal:
                if changed and state not in _MOVING and state is not State.PREPARING:
                    self._write(f"{name}: {_FIRST.get(state, state)}{f' from {detail}' if detail else ''}\n")
            elif changed or time.monotonic() - self._last >= _EVERY:
                self._draw()

    def line(self, text: str) -> None:
        """See `Progress`."""
        if self._quiet:
            return
        with self._lock:
            if self._drawn:
                self._write(f"\x1b[{self._drawn}A\x1b[J")
                self._drawn = 0
            self._write(f"{text}\n")
            if self._terminal and self._rows:
                self._draw()

    def _draw(self) -> None:
        self._last = time.monotonic()
        columns, lines = _window(self._fd)
        rows = list(self._rows.items())
        if len(rows) >= lines:
            rows = [(name, row) for name, row in rows if row.state in _MOVING][: lines - 1]
        text = "".join(f"\x1b[2K{_shown(name, row)[: columns - 1]}\n" for name, row in rows)
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self._write(f"{up}{text}\x1b[J")
        self._drawn = len(rows)

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "surrogateescape")
        if self._fd != 2:
            write(self._fd, data)
            return
        with suppress(OSError, SandboxError):  # where nobody can hear it, it is not said
            write(2, data)


def _shown(name: str, row: _Row) -> str:
    state = f"{row.state} from {row.detail}" if row.detail else str(row.state)
    if row.state not in _MOVING or not row.total:
        return f"{name}: {state}{f'  {size(row.done)}' if row.done and row.state in _MOVING else ''}"
    full = min(_BAR, row.done * _BAR // row.total)
    bar = "=" * full + ">" * (full < _BAR) + " " * (_BAR - full - 1)
    return f"{name}: {state:<11} [{bar}] {size(row.done)}/{size(row.total)}"


def _window(fd: int) -> tuple[int, int]:
    try:
        columns, lines = os.get_terminal_size(fd)
    except OSError:
        return 80, 24
    return columns or 80, max(4, lines or 24)  # a serial line says 0
