"""How supervisors come to be: a process is forked for one container, or one of many (`launcher`) is given it.

The engine's. A fork is the quickest for a command that starts a container or two, and impossible for a process with
threads, which a copy of it would wait for in vain; a launcher is worth its 60 ms to one that starts many.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from sandbox.runtime import interpreter
from sandbox.runtime.process import SupervisorGoneError

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from sandbox.runtime.launcher import Launcher
    from sandbox.runtime.spec import Stdio
    from sandbox.runtime.state import ContainerFolder

_MOST_FORKS = 3  # starts until a launcher is worth it


class Launching:
    """The supervisors of one engine's containers; with `launcher` their process is made now. Thread-safe."""

    def __init__(self, home: Path, *, launcher: bool) -> None:
        self._home = home
        self._launcher: Launcher | None = None
        self._making = threading.Lock()
        self._children: list[int] = []  # supervisors forked by this process, to be reaped
        self._forks = 0
        if launcher:
            self._make_launcher()

    def launch(self, folder: ContainerFolder, lock: int, starter: socket.socket, stdio: Stdio) -> None:
        """Have somebody start and supervise a container, and tell `starter` how that went; the descriptors stay the
        caller's.
        """
        if folder.config().spec.shared.user:
            self._launch_sealed(folder.id, lock, starter, stdio)
            return
        if self._launcher is None and self._forks < _MOST_FORKS and _may_fork():
            self._fork(folder.id, lock, starter, stdio)
            return
        for last in (False, True):
            launcher = self._make_launcher()
            try:
                launcher.launch(self._home, folder.id, lock, starter.fileno(), stdio)
            except SupervisorGoneError:  # killed; another does it
                if last:
                    raise
                self._drop(launcher)
            else:
                return

    def expect(self) -> None:
        """Make a launcher for starts to come; it gets ready while the caller goes on."""
        self._make_launcher()

    def reap(self) -> None:
        """Take note of the ends of those that this process has forked."""
        for pid in list(self._children):
            try:
                if os.waitpid(pid, os.WNOHANG)[0] == pid:
                    self._children.remove(pid)
            except ChildProcessError:
                self._children.remove(pid)

    def close(self) -> None:
        """Give the launcher no more work, if one was needed; it ends after its last container."""
        if self._launcher is not None:
            self._drop(self._launcher)
        self.reap()

    def _launch_sealed(self, identifier: str, lock: int, starter: socket.socket, stdio: Stdio) -> None:
        """To a process of its own, whose program not even root of the host can change by it."""
        from sandbox.runtime.launcher import Launcher  # noqa: PLC0415  (seldom)

        launcher = Launcher(sealed=True)
        launcher.launch(self._home, identifier, lock, starter.fileno(), stdio)
        self._drop(launcher)

    def _make_launcher(self) -> Launcher:
        from sandbox.runtime.launcher import Launcher  # noqa: PLC0415  (engines without threads need none)

        with self._making:
            if self._launcher is None:
                self._launcher = Launcher()
            return self._launcher

    def _drop(self, launcher: Launcher) -> None:
        with self._making:
            if self._launcher is launcher:
                self._launcher = None
        pid = launcher.close()
        if pid is not None:
            self._children.append(pid)

    def _fork(self, identifier: str, lock: int, starter: socket.socket, stdio: Stdio) -> None:
        from sandbox.runtime.facts import hierarchy  # noqa: PLC0415  (loaded before the fork, not in every command)
        from sandbox.runtime.supervision import supervise  # noqa: PLC0415

        hierarchy()
        self._forks += 1
        self.reap()
        # Signals meant for this process must not end the supervisor before it has a session of its own.
        old = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        pid = os.fork()
        if pid == 0:
            import gc  # noqa: PLC0415  (built in)

            gc.freeze()  # the parent's objects stay as they are: none is finalised, few pages are copied
            supervise(self._home, identifier, lock, starter, stdio)
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
        self._children.append(pid)


def _may_fork() -> bool:
    """Whether a copy of this process can be a supervisor: it has one thread, and its interpreter is the host's."""
    return len(os.listdir("/proc/self/task")) == 1 and not interpreter.is_exposed()
