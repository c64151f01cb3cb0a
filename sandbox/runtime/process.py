"""A started process as its starter sees it: until when it runs, and how it ends.

Made by the engine's `start` and `execute`; the other end of the connection is the container's supervisor.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.runtime import control
from sandbox.runtime.spec import ExitStatus

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence


class SupervisorGoneError(SandboxError):
    """The process beside a container ended without a word: it was killed, or was ending when it was asked."""

    reference = "supervisor-died"


class Process:
    """A started container or exec, as its starter sees it. `wait` may be called once, from one thread."""

    def __init__(
        self, identifier: str, pid: int, connection: socket.socket, warnings: Sequence[str], terminal: int | None = None
    ) -> None:
        self.id = identifier
        self.pid = pid
        self.warnings = tuple(warnings)
        self.terminal = terminal  # an exec's terminal master, the caller's to close
        self._connection = connection

    def fileno(self) -> int:
        """A descriptor that becomes readable when `wait` would return at once."""
        return self._connection.fileno()

    def wait(self, timeout: float | None = None) -> ExitStatus | None:
        """Wait for the end; None when `timeout` seconds passed first."""
        status = wait_on(self._connection, timeout, self.id)
        if status is not None:
            self.close()
        return status

    def tether(self) -> None:
        """The container ends and is removed, unless it has ended by itself, when this is closed or its owner killed."""
        with suppress(OSError):  # it has ended
            control.send(self._connection, {"do": "tether"})

    def close(self) -> None:
        """Stop watching; the process goes on. Dropping the object does the same."""
        self._connection.close()

    def __del__(self) -> None:
        self._connection.close()


def wait_on(connection: socket.socket, timeout: float | None, identifier: str) -> ExitStatus | None:
    """Receive how the container or exec ended; None when `timeout` seconds passed first, SupervisorGoneError where
    nobody is left to tell.
    """
    connection.settimeout(timeout)
    try:
        received = control.receive(connection)
    except (TimeoutError, BlockingIOError):
        return None
    finally:
        connection.settimeout(None)
    if received is None:
        raise SupervisorGoneError(
            f"the supervisor of container {identifier[:12]} was killed", hint="`sandbox ps -a` shows what is left"
        )
    message, _ = received
    control.raise_error(message)
    return ExitStatus(code=message["code"], oom=message["oom"], error=message["error"])
