"""Starts containers for an engine that has threads, starts many, or must not fork its own interpreter (`interpreter`).

A process with several threads must not fork and go on in Python: the locks of the other threads stay held in the
child. Such an engine (the runner, the Remote API) has a single-threaded process beside it that takes requests over a
socket (container, lock, streams as descriptors) and has the supervisors of all these containers in it (`supervision`):
no start pays for a fork, and a container that idles costs some kilobytes. It stays until its last container has ended,
also without its engine.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.kernel import polling
from sandbox.runtime import control, interpreter
from sandbox.runtime.process import SupervisorGoneError

if TYPE_CHECKING:
    from sandbox.runtime.spec import Stdio

_PATIENCE = 0.5  # seconds in which one without containers ends
_STREAMS = ("stdin", "stdout", "stderr")


class Launcher:
    """The engine's end. Thread-safe: a request is one packet with its descriptors, and its answer comes on the
    container's own socket. A `sealed` one is for containers that have our user namespace.
    """

    def __init__(self, *, sealed: bool = False) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self._lock = threading.Lock()
        root = str(Path(__file__).resolve().parent.parent.parent)
        program = f"import sys; sys.path.insert(0, {root!r}); import {__name__} as m; m.main({theirs.fileno()})"
        theirs.set_inheritable(True)
        self._pid = interpreter.spawn([sys.executable, "-I", "-c", program], os.environ, sealed=sealed)
        theirs.close()

    def launch(self, home: Path, identifier: str, lock: int, starter: int, stdio: Stdio) -> None:
        """Have the container started; raises SupervisorGoneError where the launcher has died."""
        names = [name for name in _STREAMS if getattr(stdio, name) is not None]
        message = {"home": str(home), "id": identifier, "streams": names}
        try:
            with self._lock:
                control.send(self._socket, message, [lock, starter, *(getattr(stdio, name) for name in names)])
        except OSError as error:
            raise SupervisorGoneError(f"the launcher has ended: {error.strerror}", hint="start again") from error

    def close(self) -> int | None:
        """Give it no more work: it ends, after its last container. Its pid if that runs, to be waited for some time."""
        self._socket.close()
        try:
            pidfd = os.pidfd_open(self._pid)
            try:
                ended = polling.readable(pidfd, _PATIENCE)
            finally:
                os.close(pidfd)
            return None if ended and os.waitpid(self._pid, 0) else self._pid
        except (ProcessLookupError, ChildProcessError):  # somebody has waited for it
            return None


def main(number: int) -> None:
    """The other end, in its own process."""
    from sandbox.runtime.supervision import serve  # noqa: PLC0415  (the engine's end must not load it)
    from sandbox.runtime.warming import warm  # noqa: PLC0415

    warm()
    serve(socket.socket(fileno=number))
