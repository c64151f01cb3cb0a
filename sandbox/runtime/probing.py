"""A healthcheck's process: an execution in the container whose output and end the supervisor itself receives."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

from sandbox.runtime import control, events, health
from sandbox.runtime.spec import ExecSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.runtime.requests import Supervised
    from sandbox.runtime.streams import Loop, Part

_OUTPUT_LIMIT = 4096  # bytes that are kept, docker's


class Probing:
    """Descriptors of one check. `ended` is called once, with its exit code."""

    def __init__(self, loop: Loop | Part, ended: Callable[[Probing, int], object]) -> None:
        self._loop = loop
        self._ended = ended
        self._kept = b""
        self._pid = 0
        self._socket, self.connection = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._pipe, self.writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(self.writer, True)
        loop.add(self._socket.fileno(), self._message)
        loop.add(self._pipe, self._read)

    def output(self) -> str:
        """The beginning of what it has printed."""
        return self._kept.decode("utf-8", "replace")

    def kill(self) -> None:
        """End the process; its end is no longer told."""
        if self._pid:
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGKILL)  # our child, not reaped before its end has been told
        self.close()

    def close(self) -> None:
        """Give the descriptors back; more than once does nothing."""
        if self._pipe >= 0:
            self._loop.remove(self._socket.fileno())
            self._loop.remove(self._pipe)
            self._socket.close()
            os.close(self._pipe)
            self._pipe = -1

    def _read(self) -> bool:
        try:
            data = os.read(self._pipe, 1 << 16)
        except OSError:
            data = b""
        self._kept = (self._kept + data)[:_OUTPUT_LIMIT]
        if not data:
            self._loop.remove(self._pipe)
        return bool(data)

    def _message(self) -> None:
        received = control.receive(self._socket)
        message: dict[str, Any] = received[0] if received is not None else {"event": "exited", "code": 1}
        if message["event"] == "started":
            self._pid = message["pid"]
            return
        if message["event"] == "error":
            self._kept = message["message"].encode()[:_OUTPUT_LIMIT]
            message = {"code": message["exit_code"]}
        else:
            self._drain()
        self.close()
        self._ended(self, message["code"])

    def _drain(self) -> None:
        with contextlib.suppress(OSError):
            os.set_blocking(self._pipe, False)
            while len(self._kept) < _OUTPUT_LIMIT and (data := os.read(self._pipe, 1 << 16)):
                self._kept = (self._kept + data)[:_OUTPUT_LIMIT]


def monitor(
    supervisor: Supervised, loop: Loop | Part, execute: Callable[[ExecSpec, list[int], socket.socket], object]
) -> health.Monitor | None:
    """The monitor of a container's healthcheck, whose checks `execute` starts; None where it has none."""
    check = supervisor.config.healthcheck
    words = () if check is None else health.command(check)
    if check is None or not words:
        return None
    spec = ExecSpec(command=words)

    def probe() -> Probing:
        made = Probing(loop, watching.ended)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            execute(spec, [null, made.writer, made.writer], made.connection)
        except BaseException:
            made.close()
            raise
        finally:
            os.close(null)
            os.close(made.writer)
        return made

    def tell(state: dict[str, Any], changed: bool) -> None:
        supervisor.change(health=state)
        if changed:
            events.of_container(supervisor.home, supervisor.config, f"health_status: {state['Status']}")

    watching = health.Monitor(health.Rules.of(check), probe, tell)
    return watching
