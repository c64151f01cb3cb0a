"""`sandbox registry serve` as a process of its own, for tests that need real sockets, real clients and real kills."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
from typing import TYPE_CHECKING

from tests.sandbox.command import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 60  # seconds, for a machine with other things to do


class Served:
    """A server that runs; `address` is HOST:PORT."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process = process
        self.address = address

    @property
    def port(self) -> int:
        """Of the address."""
        return int(self.address.rpartition(":")[2])

    def kill(self) -> None:
        """All of its processes at once, as the loss of power would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


def request(
    server: Served, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """The answer to a request of a connection of its own: status, headers, content."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})  # type: ignore[arg-type]
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


@contextlib.contextmanager
def served(root: Path, *options: str) -> Iterator[Served]:
    """A registry on a directory, at a free port of loopback; ended at the end, in order."""
    command = [*COMMAND, "registry", "serve", "--address", "127.0.0.1:0", "--storage", str(root), *options]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        env={**os.environ, "HAKO_HOME": str(root.parent / "home")},
    )
    server: Served | None = None
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"at https?://(\S+)", line)
        assert found, line + process.stderr.read()
        server = Served(process, found[1])
        yield server
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            Served(process, "").kill()
            if process.stderr is not None:
                process.stderr.close()
