"""One running container of our own engine, as the runner's `Handle`; made by `runners.engine`."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from ci.pipeline.outputs import FILE_LIMIT
from runners.backend import BackendError, Ended, Health, Kept
from sandbox.errors import SandboxError
from sandbox.runtime.signals import signal_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.runtime.engine import Engine
    from sandbox.runtime.process import Process

LOCAL = "127.0.0.1"  # where containers that share the host's network are reached
_KILLED = 128 + signal.SIGKILL


class EngineHandle:
    """One running container."""

    def __init__(
        self,
        engine: Engine,
        identifier: str,
        process: Process,
        output: int,
        *,
        stays: bool,
        outputs: Path,
        kept: Kept,
        secrets: Sequence[str],
        address: str,
        published: Mapping[int, str],
    ) -> None:
        self.published = published
        self._outputs = outputs
        self._secrets = secrets
        self._engine = engine
        self._stays = stays
        self._kept = kept
        self._id = identifier
        self._process = process
        self._result: Ended | None = None
        self._closed = False
        self.output = output
        self.ended = process.fileno()
        self.address = address

    def tcp_socket(self, family: int) -> socket.socket:
        """Of this host, whose network the container may share, or of the namespace that the containers of an ordinary
        user have their networks in.
        """
        if self.address == LOCAL:
            return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        return self._engine.networks.tcp_socket(family)

    def health(self) -> Health:
        """What the supervisor has written down."""
        try:
            state = self._engine.state(self._id).health or {}
        except (SandboxError, OSError):  # it has ended, and is removed
            state = {}
        output = state["Log"][-1]["Output"] if state.get("Log") else ""
        return Health(passed=state.get("Status") == "healthy", output=output)

    def written(self) -> bytes:
        """The file is a mount in the container, so that this one cannot be made anything else; it may be large."""
        try:
            with self._outputs.open("rb") as file:
                return file.read(FILE_LIMIT + 1)
        except OSError:  # a service has none
            return b""

    def result(self) -> Ended:
        """What the supervisor says; a supervisor that was killed is the container's end too."""
        if self._result is None:
            try:
                status = self._process.wait()
            except (SandboxError, OSError) as error:
                self._result = Ended(code=_KILLED, error=str(error))
            else:
                assert status is not None  # noqa: S101  (no timeout was given)
                self._result = Ended(code=status.code, oom=status.oom, error=status.error)
        return self._result

    def terminate(self) -> None:
        """Its stop signal where its first process handles it, else SIGKILL: the kernel would drop the signal."""
        try:
            number = signal_number(self._engine.config(self._id).stop_signal)
            if _catches(self._process.pid, number):
                self._engine.kill(self._id, number)
            else:
                self.kill()
        except (SandboxError, OSError):
            self.kill()

    def kill(self) -> None:
        """SIGKILL to its first process; the kernel ends all others of its PID namespace with it."""
        with contextlib.suppress(SandboxError, OSError):  # it has ended
            self._engine.kill(self._id, signal.SIGKILL)

    def keep(self) -> Kept:
        """The container's own layer becomes one of a new image."""
        try:
            # An image has the variables of the container that it was made of, and stays on the disk.
            cleared = tuple(f"ENV {variable}=" for variable in self._secrets)
            self._engine.commit(self._id, name=self._kept.image, pause=False, changes=cleared)
        except (SandboxError, OSError) as error:
            raise converted(error) from error
        return self._kept

    def close(self) -> None:
        """Descriptors, and the container where it has not ended, or does not go by itself."""
        if not self._closed:
            self._closed = True
            os.close(self.output)
            self._process.close()
            if self._result is None or self._stays:
                remove_container(self._engine, self._id)


def remove_container(engine: Engine, identifier: str) -> None:
    """Take a container away, whatever it does; never fails."""
    with contextlib.suppress(SandboxError, OSError):  # gone already, or for `reclaim`
        engine.remove(identifier, force=True)


def _catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal (proc(5), SigCgt). The first process of a PID namespace without one
    is not ended by it.
    """
    for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
        name, _, value = line.partition(":")
        if name == "SigCgt":
            return bool(int(value, 16) >> (number - 1) & 1)
    return False


def converted(error: SandboxError | OSError | BackendError) -> BackendError:
    """An error of the engine or the system as the runner's."""
    if isinstance(error, BackendError):
        return error
    if isinstance(error, SandboxError):
        return BackendError(error.message, hint=error.hint)
    reason = (error.strerror or str(error)).lower()
    return BackendError(f"{error.filename}: {reason}" if error.filename else reason)
