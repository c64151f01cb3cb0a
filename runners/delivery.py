"""A Stage's courier, as the Stage's process sees it: forked, rung, and made anew if it dies.

Called by `worker`, with what is written to the outbox from then on; and by `agent` for outboxes whose processes are
dead.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from runners.courier import DELIVERED, NOT_OURS, Courier
from runners.rpc import AwayError
from sandbox.kernel import process

if TYPE_CHECKING:
    from collections.abc import Callable

    from runners.host import Host
    from runners.loop import Loop
    from runners.outbox import Outbox
    from runners.stagefolder import StageFolder

_PAUSE = 1.0  # seconds until a courier that has died is replaced


class Delivery:
    """Keeps a courier at work for the Stage in `folder`; `refused` is called when the server says it is not ours."""

    def __init__(
        self, folder: StageFolder, host: Host, loop: Loop, outbox: Outbox, refused: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._host = host
        self._loop = loop
        self._outbox = outbox
        self._refused = refused
        self._bell = -1
        self._pidfd = -1
        self._pid = 0
        self.start()

    def start(self) -> None:
        """Fork the courier."""
        reading, self._bell = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._pid = start(self._folder, self._host, reading, self._bell)
        self._pidfd = os.pidfd_open(self._pid)
        self._loop.watch(self._pidfd, self._ended)
        self._outbox.notify(self._bell)

    def leave(self) -> None:
        """The Stage is over: the courier goes on by itself."""
        if self._bell >= 0:
            self._outbox.notify(-1)
            self._loop.forget(self._pidfd)
            os.close(self._bell)
            os.close(self._pidfd)
            self._bell = self._pidfd = -1

    def _ended(self) -> None:
        self.leave()
        status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        if status == NOT_OURS:
            self._refused()
        else:
            self._loop.after(_PAUSE, self.start)


def start(folder: StageFolder, host: Host, reading: int, writing: int) -> int:
    """Fork a courier for an outbox; its process id. `reading` is given away, `writing` stays the caller's."""
    pid = os.fork()
    if pid:
        os.close(reading)
        return pid
    status = 1
    try:
        gc.freeze()
        os.close(writing)
        with suppress(PermissionError):
            os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        process.set_name("hako-courier")
        status = _run(folder, host, reading)
    except BaseException as error:  # the end of the process
        sys.stderr.write(f"ci-run: the courier of stage {folder.stage}: {type(error).__name__}: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(status)


def _run(folder: StageFolder, host: Host, reading: int) -> int:
    courier: Courier | None = None

    def pause(seconds: float) -> None:
        if courier is not None:
            courier.pause(seconds)

    courier = Courier(folder.path, folder.stage, reading, host.rpc(pause))
    try:
        status = courier.run()
    except AwayError:
        return 1
    if status in (DELIVERED, NOT_OURS):
        folder.remove()
    return status
