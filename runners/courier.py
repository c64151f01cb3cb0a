"""The courier of a Stage: a process that brings what is in its outbox to the server, in order, whatever the network
does.

It is forked by the Stage's process, so that the one that listens to containers never waits for a server. State changes
are sent at once, a log's bytes after 100 ms or 256 KiB, whichever is first. While the server is away it waits, and the
disk keeps what comes. It ends when the Stage's end has arrived; when the server says that the Stage is another's, which
it tells the Stage's process; or when that one has died without an end, for then the Stage is run again. Whoever sends
an outbox from its beginning changes nothing that has arrived before.
"""

from __future__ import annotations

import os
import select
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from runners.outbox import ARTIFACTS, Journal, has_end, log_path
from runners.rpc import AwayError, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runners.outbox import Entry
    from runners.rpc import Rpc

INTERVAL = 0.1  # seconds between two batches of a log
ENOUGH = 256 << 10  # bytes that are sent without waiting
_BATCH = 1 << 20  # bytes of one request, where that many wait
DELIVERED, NOT_OURS, ABANDONED = 0, 3, 4  # exit codes


class _AbandonedError(Exception):
    """The Stage's process has died without an end."""


class _NotOursError(Exception):
    """The server does not take anything of this Stage from us."""


class _Log:
    """A log that grows."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.offset = 0
        self.sent = 0.0  # when, on the monotonic clock

    def waiting(self) -> int:
        return os.fstat(self.file).st_size - self.offset


class Courier:
    """Sends the outbox of Stage `stage` in `folder`. `bell` has a byte when there is something new, and its end of
    file says that nobody writes any more.
    """

    def __init__(self, folder: Path, stage: int, bell: int, rpc: Rpc) -> None:
        self._folder = folder
        self._stage = stage
        self._bell = bell
        self._rpc = rpc
        self._attempt = 0
        self._journal = Journal(folder)
        self._logs: dict[int, _Log] = {}
        self._alone = False  # nobody writes any more
        self._over = False

    def run(self) -> int:
        """Until the end; returns one of the exit codes."""
        try:
            while True:
                alone = self._alone
                for entry in self._journal.entries():
                    self._attempted(entry.what, partial(self._deliver, entry))
                    if self._over:
                        return DELIVERED
                due = self._send_logs()
                if alone:
                    return ABANDONED
                self._wait(due)
        except _NotOursError:
            return NOT_OURS
        except _AbandonedError:
            return ABANDONED
        finally:
            self._journal.close()

    def pause(self, seconds: float) -> None:
        """Wait until the server may be there again; for `Rpc`."""
        time.sleep(seconds)
        self._drain()
        if self._alone and not has_end(self._folder):
            raise _AbandonedError

    def _wait(self, due: float | None) -> None:
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        poll.poll(None if due is None else max(0, round(due * 1000)))
        self._drain()

    def _drain(self) -> None:
        try:
            while data := os.read(self._bell, 4096):
                del data
            self._alone = True
        except BlockingIOError:
            return

    def _attempted(self, what: str, send: Callable[[], object]) -> bool:
        """Whether the server has taken it; if not, that is no reason to keep the others from it."""
        try:
            send()
        except RpcError as error:
            if error.not_ours:
                raise _NotOursError from None
            self._over = self._over or what == "finish"
            sys.stderr.write(f"ci-run: stage {self._stage}: the server refuses {what}: {error}\n")
            return False
        return True

    def _deliver(self, entry: Entry) -> None:
        body = entry.body
        match entry.what:
            case "begin":
                self._attempt = body["attempt"]
            case "step":
                self._rpc.step(self._stage, entry.step, {**body, "attempt": self._attempt})
            case "log":
                if entry.step not in self._logs:
                    self._logs[entry.step] = _Log(log_path(self._folder, entry.step))
            case "end":
                self._end(entry.step)
            case "tests":
                self._rpc.tests(self._stage, entry.step, self._attempt, body)
            case "artifact":
                self._bring(body["path"], self._folder / ARTIFACTS / str(entry.step) / body["path"])
            case "finish":
                self._rpc.finish(self._stage, {**body, "attempt": self._attempt})
                self._over = True

    def _end(self, step: int) -> None:
        log = self._logs.pop(step, None)
        if log is None:  # the server has refused it
            return
        try:
            ended = False
            while not ended:
                if log.waiting():
                    self._send(step, log)
                else:
                    ended = self._send(step, log, end=True)
        finally:
            os.close(log.file)

    def _bring(self, path: str, copy: Path) -> None:
        try:
            file = copy.open("rb")
        except FileNotFoundError:  # brought by a courier before this one
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            self._rpc.put_artifact(self._stage, self._attempt, path, file, size)
        copy.unlink()

    def _send_logs(self) -> float | None:
        """What is due now; returns in how many seconds the next is, None where nothing waits."""
        soonest: float | None = None
        refused: list[int] = []
        for step, log in self._logs.items():
            while waiting := log.waiting():
                left = log.sent + INTERVAL - time.monotonic()
                if waiting < ENOUGH and left > 0:
                    soonest = left if soonest is None else min(soonest, left)
                    break
                if not self._attempted("log", partial(self._send, step, log)):
                    refused.append(step)
                    break
        for step in refused:
            os.close(self._logs.pop(step).file)
        return soonest

    def _send(self, step: int, log: _Log, *, end: bool = False) -> bool:
        """One batch; whether the server has taken it, else it wants to go on from before."""
        data = os.pread(log.file, _BATCH, log.offset)
        log.sent = time.monotonic()
        try:
            log.offset = self._rpc.log(
                self._stage, step, attempt=self._attempt, offset=log.offset, data=data, end=end, now=time.time()
            )
        except RpcError as error:
            known = error.answer.get("next")
            if error.reference != "gap" or not isinstance(known, int) or known >= log.offset:
                raise
            log.offset = known  # the server has lost the end of what it had: a loss of power
            return False
        return True


def deliver(folder: Path, stage: int, rpc: Rpc) -> int:
    """Send an outbox that nobody writes to any more; returns an exit code of the above."""
    bell, other = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.close(other)
    try:
        return Courier(folder, stage, bell, rpc).run()
    except AwayError:
        return ABANDONED
    finally:
        os.close(bell)
