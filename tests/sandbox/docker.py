"""dockerd on folders of its own, for the tests that hold our builder and registries against docker and its BuildKit.

It lives in mount and process namespaces that end with its first process, whatever becomes of the test; it has no bridge
and no packet filter rules, and the host's network. Only empty control groups are left, which are removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Debian's, which needs no plugin for BuildKit; a newer one beside it does.
CLIENT = next((path for path in ("/usr/bin/docker", shutil.which("docker") or "") if Path(path).is_file()), "")
HAS_DOCKER = os.geteuid() == 0 and bool(CLIENT) and all(map(shutil.which, ("dockerd", "setpriv", "unshare")))
_PATIENCE = 60.0  # seconds until it must listen
_NAMESPACES = (
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
)
# It writes below these whatever its options say.
_OWN_FOLDERS = 'mkdir -p /etc/docker; mount -t tmpfs none /run; mount -t tmpfs none /etc/docker; exec "$@"'
_NO_NETWORK = ("--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false")


class Docker:
    """The `docker` command with a daemon of its own; logins are kept in `state`."""

    def __init__(self, state: Path) -> None:
        self._command = (CLIENT, f"--host=unix://{state / 'socket'}", f"--config={state / 'config'}")

    def __call__(self, *words: str, stdin: bytes = b"") -> bytes:
        """What it printed; the test fails with its complaint where it does."""
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def run(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """To its end, whatever that is."""
        environment = {**os.environ, "DOCKER_BUILDKIT": "1", "HOME": "/nonexistent"}
        return subprocess.run(
            [*self._command, *words], input=stdin, capture_output=True, check=False, timeout=120, env=environment
        )


@contextlib.contextmanager
def docker_daemon() -> Iterator[Docker]:
    """A daemon with an empty storage, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="hako-docker-", dir="/tmp") as folder:
        state = Path(folder)
        (state / "daemon.json").write_text("{}")
        command: list[str | Path] = [
            *_NAMESPACES,
            *("sh", "-c", _OWN_FOLDERS, "sh"),
            *("dockerd", "--config-file", state / "daemon.json", "--data-root", state / "data"),
            *("--exec-root", state / "exec", "--host", f"unix://{state / 'socket'}", "--pidfile", state / "pid"),
            *(
                "--cgroup-parent",
                f"/{state.name}",
                "--storage-driver",
                "vfs",
                "--default-ulimit",
                "nofile=1024:1024",
                *_NO_NETWORK,
            ),
        ]
        with (state / "log").open("wb") as log:
            daemon = subprocess.Popen(command, cwd=state, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            client = Docker(state)
            _await(client, daemon, state / "log")
            yield client
        finally:
            _end(daemon, state.name)


def _await(client: Docker, daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while daemon.poll() is None and time.monotonic() < deadline:
        if client.run("info").returncode == 0:
            return
        time.sleep(0.1)
    raise AssertionError(f"dockerd does not listen: {log.read_text(errors='replace')[-2000:]}")


def _end(daemon: subprocess.Popen[bytes], groups: str) -> None:
    """Kill the first process of the namespaces: it is gone, and unshare ends, after all the others there."""
    with contextlib.suppress(FileNotFoundError):
        children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
        for pid in map(int, children):
            os.kill(pid, signal.SIGKILL)
    daemon.wait()
    for hierarchy in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()):
        for folder, _, _ in os.walk(hierarchy / groups, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
