"""Starts supervisors for an engine that has threads, or that must not fork its own interpreter (`interpreter`).

A process with several threads must not fork and go on in Python: the locks of the other threads stay held in the
child. Such an engine (the runner, the Remote API) has a launcher beside it: a small single-threaded process that
already holds all the code a supervisor needs, takes requests over a socket (container, lock, streams as descriptors)
and forks. It ends with its engine; the supervisors it started do not. Forking it costs less than forking the engine,
and far less than starting Python anew.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.runtime import control, interpreter
from sandbox.runtime.spec import Stdio

_STREAMS = ("stdin", "stdout", "stderr")


class Launcher:
    """The engine's end. Thread-safe: a request is one packet with its descriptors, and its answer comes on the
    container's own socket.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        self._lock = threading.Lock()
        root = str(Path(__file__).resolve().parent.parent.parent)
        program = f"import sys; sys.path.insert(0, {root!r}); import {__name__} as m; m.main({theirs.fileno()})"
        theirs.set_inheritable(True)
        self._pid = interpreter.spawn([sys.executable, "-I", "-c", program], os.environ)
        theirs.close()

    def launch(self, home: Path, identifier: str, lock: int, starter: int, stdio: Stdio) -> None:
        """Have the container started; raises SandboxError where the launcher has died."""
        names = [name for name in _STREAMS if getattr(stdio, name) is not None]
        message = {"home": str(home), "id": identifier, "streams": names}
        try:
            with self._lock:
                control.send(self._socket, message, [lock, starter, *(getattr(stdio, name) for name in names)])
        except OSError as error:
            raise SandboxError(
                f"the launcher has ended: {error.strerror}", hint="start again", reference="launcher-gone"
            ) from error

    def close(self) -> None:
        """End it; containers go on."""
        self._socket.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def main(number: int) -> None:
    """The launcher's own process. It has one supervisor forked in advance at any time, so that no start waits for a
    fork.
    """
    from sandbox.runtime.warming import warm  # noqa: PLC0415  (the engine's end must not load it)

    connection = socket.socket(fileno=number)
    connection.set_inheritable(False)
    warm()
    for caught in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(caught, signal.SIG_IGN)  # it ends when its engine closes the socket
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors are reaped by the kernel
    spare = _fork_spare(connection)
    while (received := control.receive(connection)) is not None:
        message, descriptors = received
        control.send(spare, message, descriptors)
        spare.close()
        for descriptor in descriptors:
            os.close(descriptor)
        spare = _fork_spare(connection)


def _fork_spare(connection: socket.socket) -> socket.socket:
    """A supervisor without a container; what is sent to the socket makes it one, and closing the socket ends it."""
    from sandbox.runtime import supervisor  # noqa: PLC0415

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() > 0:
        theirs.close()
        return ours
    try:
        gc.freeze()
        supervisor.detach_from_caller((theirs.fileno(),))
        ours.detach()  # closed already, with the launcher's own
        connection.detach()
        received = control.receive(theirs)
        if received is not None:
            message, (lock, starter, *streams) = received
            stdio = Stdio(**dict(zip(message["streams"], streams, strict=True)))
            theirs.close()
            supervisor.run(Path(message["home"]), message["id"], lock, socket.socket(fileno=starter), stdio)
    finally:
        os._exit(0)
