"""One container at a Docker daemon, as the runner's `Handle`.

A daemon speaks HTTP, and the runner's loop wants descriptors: so a thread takes the output off its connection and
writes it to a pipe, and another waits for the end and closes a second one. They have clients of their own and end with
the container.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import docker
from docker.errors import DockerException
from docker.utils.socket import frames_iter
from requests.exceptions import RequestException

from ci.pipeline.outputs import FILE_LIMIT
from runners.backend import BackendError, Ended, Health, Kept

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KILLED = 128 + signal.SIGKILL
_FAILURES = (DockerException, RequestException, OSError)


class DockerHandle:
    """`container` is docker-py's, made and not started. Starts it; raises what docker-py raises."""

    published: Mapping[int, str] = {}

    def __init__(self, url: str, container: Any, outputs: Path, *, network: str) -> None:
        self._url = url
        self._container = container
        self._outputs = outputs
        self._network = network
        self._result: Ended | None = None
        self._closed = False
        self.output, self._writing = os.pipe2(os.O_CLOEXEC)
        self.ended, self._ended = os.pipe2(os.O_CLOEXEC)
        self._client = docker.APIClient(base_url=url, version="auto", timeout=None)
        try:
            stream = self._client.attach_socket(container.id, params={"stdout": 1, "stderr": 1, "stream": 1})
            container.start()
            container.reload()
        except BaseException:
            for descriptor in (self.output, self._writing, self.ended, self._ended):
                os.close(descriptor)
            with contextlib.suppress(*_FAILURES):
                container.remove(force=True)
            raise
        self.address = self._reached()
        for work in (lambda: self._copy(stream), self._wait):
            threading.Thread(target=work, daemon=True).start()

    def _reached(self) -> str:
        networks = self._container.attrs["NetworkSettings"]["Networks"]
        return str(networks.get(self._network, {}).get("IPAddress", ""))

    def _copy(self, stream: Any) -> None:
        connection = getattr(stream, "_sock", None)  # docker-py gives us a file of it, and nobody else closes it
        try:
            for _, data in frames_iter(stream, tty=False):
                view = memoryview(data)
                while view:
                    view = view[os.write(self._writing, view) :]
        except _FAILURES:  # the daemon is gone, or nobody reads any more
            pass
        finally:
            os.close(self._writing)
            stream.close()
            if connection is not None:
                connection.close()

    def _wait(self) -> None:
        client = docker.APIClient(base_url=self._url, version="auto", timeout=None)
        try:
            code = int(client.wait(self._container.id)["StatusCode"])
            state = client.inspect_container(self._container.id)["State"]
            self._result = Ended(code=code, oom=bool(state.get("OOMKilled")), error=str(state.get("Error") or ""))
        except _FAILURES as error:
            self._result = Ended(code=_KILLED, error=f"docker has lost it: {' '.join(str(error).split())}")
        finally:
            client.close()
            os.close(self._ended)

    def tcp_socket(self, family: int) -> socket.socket:
        """Of this host, which reaches the daemon's bridges."""
        return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)

    def health(self) -> Health:
        """What the daemon has written down."""
        try:
            self._container.reload()
            state = self._container.attrs["State"].get("Health") or {}
        except _FAILURES:
            state = {}
        output = state["Log"][-1]["Output"] if state.get("Log") else ""
        return Health(passed=state.get("Status") == "healthy", output=output)

    def result(self) -> Ended:
        """What the daemon said."""
        return self._result or Ended(code=_KILLED, error="it has not ended")

    def terminate(self) -> None:
        """SIGTERM; what has no handler for it is killed after a moment by who asked."""
        self._signal("SIGTERM")

    def kill(self) -> None:
        """SIGKILL to its first process; the kernel ends all others of its PID namespace with it."""
        self._signal("SIGKILL")

    def _signal(self, name: str) -> None:
        with contextlib.suppress(*_FAILURES):  # it has ended
            self._container.kill(signal=name)

    def written(self) -> bytes:
        """The file is a mount in the container, so that this one cannot be made anything else."""
        try:
            with self._outputs.open("rb") as file:
                return file.read(FILE_LIMIT + 1)
        except OSError:  # a service has none
            return b""

    def keep(self) -> Kept:
        """Only our own engine keeps containers."""
        raise BackendError("containers are kept by Hako's own engine only")

    def close(self) -> None:
        """The container, and with it the threads; then the descriptors."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(*_FAILURES):
                self._container.remove(force=True)
            os.close(self.output)
            os.close(self.ended)
            self._client.close()
