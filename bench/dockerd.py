"""dockerd as a peer: a daemon of the benchmark's own, in network, mount and process namespaces of its own.

There its bridge, packet filter rules, mounts and containers end with its first process, whatever becomes of the
benchmark; on the host only empty control groups are left, which are removed. Its control groups and its disk are the
host's: what a container costs is what it costs elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import TYPE_CHECKING, Any

from bench.harness import BenchmarkError
from bench.peers import archive, quietly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.harness import Setup

_PATIENCE = 30.0  # seconds until it must listen
_NAMESPACES = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
# It writes below these whatever its options say.
_OWN_FOLDERS = 'mkdir -p /etc/docker; mount -t tmpfs none /run; mount -t tmpfs none /etc/docker; exec "$@"'


class Docker:
    """A running daemon: `client` begins a command line, `ask` speaks to its API; `inside` begins one that runs in its
    network. Thread-safe.
    """

    def __init__(self, path: Path, daemon: int) -> None:
        self.path = path
        self.inside = ("nsenter", f"--net=/proc/{_first(daemon)}/ns/net")
        self.client = ("docker", "--host", f"unix://{path}")

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """One request and the document it is answered with; None for an empty answer."""
        connection = _Connection(self.path)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise BenchmarkError(f"docker: {method} {path}: {answer.decode(errors='replace')[-300:]}")
        return json.loads(answer) if answer else None


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket(AF_UNIX, SOCK_STREAM)
        self.sock.connect(str(self._path))


@contextmanager
def docker(setup: Setup) -> Iterator[Docker | None]:
    """A daemon with the image `busybox` and the `local` log driver; None where docker is not installed."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("dockerd", "docker", "setpriv", "unshare"))):
        yield None
        return
    home = setup.directory / "docker"
    home.mkdir()
    configuration = home / "daemon.json"
    configuration.write_text("{}")
    command: list[str | Path] = [
        *_NAMESPACES,
        *("sh", "-c", _OWN_FOLDERS, "sh"),
        *("dockerd", "--config-file", configuration, "--data-root", home / "data", "--exec-root", home / "exec"),
        *("--host", f"unix://{home / 'socket'}", "--pidfile", home / "pid", "--log-driver", "local"),
        *("--default-ulimit", "nofile=1024:1024", "--default-ulimit", "nproc=1024:1024"),
    ]
    with (home / "log").open("wb") as log:
        daemon = subprocess.Popen(command, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        made = _await(home / "socket", daemon, home / "log")
        quietly([*made.client, "import", str(archive(home)), "busybox"])
        yield made
    finally:
        _end(daemon)


def _await(path: Path, daemon: subprocess.Popen[bytes], log: Path) -> Docker:
    deadline = time.monotonic() + _PATIENCE
    while daemon.poll() is None and time.monotonic() < deadline:
        try:
            made = Docker(path, daemon.pid)
            made.ask("GET", "/info")
        except (OSError, IndexError):
            time.sleep(0.1)
        else:
            return made
    raise BenchmarkError(f"dockerd does not listen: {log.read_text(errors='replace')[-500:]}")


def _first(daemon: int) -> int:
    """The first process of the namespaces. IndexError where it is not there yet."""
    return int(Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()[0])


def _end(daemon: subprocess.Popen[bytes]) -> None:
    """Kill the first process of the namespaces: it is gone, and unshare ends, after all the others there."""
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    for pid in map(int, children):
        os.kill(pid, signal.SIGKILL)
    daemon.wait()
    for group in Path("/sys/fs/cgroup").glob("*/docker"):
        quietly(["find", str(group), "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], check=False)
