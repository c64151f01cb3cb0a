"""A container's first process with `--init`: passes signals on, buries orphans, ends as the command does.

It is init itself, which forks the command in place of becoming it; no program of the host or the image is run for it.
It has given away all rights by then, as the command has, cannot be looked into (it is not dumpable, and its memory
belongs to the user namespace outside), and has no descriptor but the command's own three. Most of its memory is shared
with its supervisor.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from sandbox.kernel import process

if TYPE_CHECKING:
    from typing import NoReturn

_STOPPING = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


def fork_child() -> int:
    """Fork; 0 in the child, which leads a process group of its own, in the foreground where there is a terminal."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # until `serve` listens
    child = os.fork()
    if child:
        return child
    os.setpgid(0, 0)
    if os.isatty(0):
        os.tcsetpgrp(0, os.getpid())  # SIGTTOU, which it costs a process in the background, is blocked
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    return 0


def serve(child: int) -> NoReturn:
    """Stay as the first process until `child` has ended, then end with its exit code."""
    process.set_dumpable(False)
    process.set_name("init")
    process.set_title("init")
    process.close_range(3)
    every = signal.valid_signals()
    while True:
        arrived = signal.sigwaitinfo(every).si_signo
        if arrived != signal.SIGCHLD:
            if arrived not in _STOPPING:
                _pass_on(child, arrived)
            continue
        code = _bury(child)
        if code is not None:
            os._exit(code)


def _pass_on(child: int, number: int) -> None:
    try:
        os.kill(child, number)
    except ProcessLookupError:
        return


def _bury(child: int) -> int | None:
    """Reap everybody who has ended; the exit code of `child` when it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            code = code if code >= 0 else 128 - code
