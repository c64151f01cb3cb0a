"""What a Stage has to tell the server, on the disk until it has arrived there: a journal, and a file for each log.

`$HAKO_HOME/runner/stages/<id>/` belongs to the processes of one Stage, by its lock. The Stage's process writes here and
never waits for anybody, however slow or far the server is; its courier (`courier`) reads and sends. So neither needs
memory for what has not arrived, and a Stage that is over can be told by a later process where both have died. Journal:
a line of JSON for each entry, in the order in which the server is to hear of them; logs are masked before they come
here.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

JOURNAL = "journal"
ARTIFACTS = "artifacts"
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class Entry(NamedTuple):
    """What the server is to hear: `what` is begin, step, log, end, tests, artifact or finish."""

    what: str
    step: int = 0
    body: Mapping[str, Any] = {}


class Outbox:
    """The writing end. `notify` is called after each write; the courier may be there or not."""

    def __init__(self, folder: Path, *, attempt: int, limit: int) -> None:
        self.folder = folder
        self.attempt = attempt
        self._limit = limit
        self._journal = os.open(folder / JOURNAL, _APPEND, 0o600)
        self._bell = -1
        self.write(Entry("begin", body={"attempt": attempt}))

    def notify(self, bell: int) -> None:
        """Write a byte to this descriptor from now on, when there is something new."""
        self._bell = bell
        self._ring()

    def write(self, entry: Entry) -> None:
        """Append an entry; a disk that is full raises OSError."""
        os.write(self._journal, json.dumps(list(entry), separators=(",", ":")).encode("ascii") + b"\n")
        self._ring()

    def log(self, step: int) -> OutboxLog:
        """A step's log, which has no byte yet, or goes on where the step is tried again."""
        return OutboxLog(self, step, self._limit)

    def close(self) -> None:
        """There will be no more."""
        os.close(self._journal)

    def ring(self) -> None:
        """A log has grown."""
        self._ring()

    def _ring(self) -> None:
        if self._bell >= 0:
            with suppress(BlockingIOError, BrokenPipeError):  # it has rung already; or the courier has died
                os.write(self._bell, b"!")


class OutboxLog:
    """One step's log: a `runners.report.StepLog`. What is beyond the limit is dropped, and that is said once."""

    def __init__(self, outbox: Outbox, step: int, limit: int) -> None:
        self._outbox = outbox
        self._step = step
        self._left = limit
        self._file = os.open(log_path(outbox.folder, step), _APPEND, 0o600)
        self._left -= os.fstat(self._file).st_size
        self.is_open = True
        outbox.write(Entry("log", step))

    def write(self, data: bytes) -> None:
        """Append. A full disk loses what does not fit, and not the build."""
        if self._left <= 0:
            return
        if len(data) > self._left:
            data = data[: self._left] + b"\n[the rest is not kept: the log's limit is reached]\n"
            self._left = 0
        else:
            self._left -= len(data)
        view = memoryview(data)
        with suppress(OSError):
            while view:
                view = view[os.write(self._file, view) :]
        self._outbox.ring()

    def close(self) -> None:
        """No more for now."""
        if self.is_open:
            self.is_open = False
            os.close(self._file)


def log_path(folder: Path, step: int) -> Path:
    """Where the log of a step lies."""
    return folder / f"log-{step}"


class Journal:
    """The reading end: entries as they are written."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / JOURNAL).open("rb")
        self._rest = b""

    def entries(self) -> Iterator[Entry]:
        """Those that nobody has read yet."""
        self._rest += self._file.read()
        while b"\n" in self._rest:
            line, _, self._rest = self._rest.partition(b"\n")
            what, step, body = json.loads(line)
            yield Entry(what, step, body)

    def close(self) -> None:
        """Give the descriptor back."""
        self._file.close()


def has_end(folder: Path) -> bool:
    """Whether the Stage of this folder has come to its end, which the server is to hear of."""
    try:
        journal = Journal(folder)
    except FileNotFoundError:
        return False
    try:
        return any(entry.what == "finish" for entry in journal.entries())
    finally:
        journal.close()
