"""The process that supervisors live in: one for a single container, or one for all of an engine with threads.

`supervise` is the first, in a process that the engine forked for the container; `serve` the second, which takes
requests from its engine (`launcher`) and stays after that has gone until its last container has ended. Both are out of
the caller's session and hold no descriptor of its own.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.errors import SandboxError
from sandbox.kernel import idmap, process, vfork
from sandbox.runtime import control
from sandbox.runtime.facts import fills
from sandbox.runtime.spares import Spares
from sandbox.runtime.spec import Stdio
from sandbox.runtime.state import Containers
from sandbox.runtime.streams import Loop
from sandbox.runtime.supervisor import Facilities, Supervisor

if TYPE_CHECKING:
    from typing import NoReturn


_CLOSING_DELAY = 0.5  # seconds
_SHORT_LIFE = 0.005  # seconds: a container that ends within them is not to wait for what is made for the next


class Supervision:
    """Supervisors on one loop; one that is `ready` has namespaces made for the next container."""

    def __init__(self, *, ready: bool = False) -> None:
        self.loop = Loop()
        self._supervisors: set[Supervisor] = set()
        self._released: list[int] = []
        self._closing_time = 0.0  # time.monotonic
        self._ready = ready
        self._spares = Spares()
        self._next: Path | None = None  # the state directory that a spare is to be made for
        self._making_time = 0.0  # time.monotonic
        self._stays: dict[Path, int] = {}  # descriptors of `holding.stay`
        self._facilities = Facilities(self.loop, self._spares, self._release)
        signal.signal(signal.SIGTERM, self._terminate)

    @property
    def busy(self) -> bool:
        """Whether there is a container left."""
        return bool(self._supervisors)

    def start(self, home: Path, identifier: str, lock: int, starter: socket.socket, stdio: Stdio) -> None:
        """Start a container; `starter` is told how that went. Takes over all descriptors."""
        try:
            self._stay(home)
            supervisor = Supervisor(home, identifier, lock, starter, stdio, self._facilities)
        except BaseException as error:
            _say(starter, error)
            starter.close()
            for descriptor in (lock, stdio.stdin, stdio.stdout, stdio.stderr):
                if descriptor is not None:
                    os.close(descriptor)
            return
        try:
            supervisor.start()
        except BaseException as error:
            _say(starter, error)
            starter.close()
        else:
            self._supervisors.add(supervisor)
            self._make_ready(home, time.monotonic() + _SHORT_LIFE)

    def start_apart(self, home: Path, identifier: str, lock: int, starter: socket.socket, stdio: Stdio) -> None:
        """Start a container in a process of its own, which this one, without threads, may fork: its start may take as
        long as an image wants, and would hold up all others here. Takes over all descriptors.
        """
        # A signal for this process must not be handled in the copy, where it would go to the containers of this one.
        signals = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        try:
            pid = os.fork()
        except OSError:  # there is no room for another
            signal.pthread_sigmask(signal.SIG_SETMASK, signals)
            self.start(home, identifier, lock, starter, stdio)
            return
        if pid == 0:
            supervise(home, identifier, lock, starter, stdio)
        signal.pthread_sigmask(signal.SIG_SETMASK, signals)
        with contextlib.suppress(OSError):  # no descriptor is left: it is waited for when this process ends
            self._reap_later(os.pidfd_open(pid))
        starter.close()
        for descriptor in (lock, stdio.stdin, stdio.stdout, stdio.stderr):
            if descriptor is not None:
                os.close(descriptor)

    def _stay(self, home: Path) -> None:
        """Keep the namespaces that an ordinary user's containers share, for as long as this process lives."""
        if not idmap.in_initial_namespace() and home not in self._stays:
            from sandbox.kernel import holding  # noqa: PLC0415  (ordinary users alone)

            self._stays[home] = holding.stay(home)

    def close(self) -> None:
        """Give back what was kept ready."""
        self._spares.close()

    def step(self) -> None:
        """Wait for something to do, and do it."""
        deadlines = [supervisor.deadline for supervisor in self._supervisors if supervisor.deadline is not None]
        if self._released:
            deadlines.append(self._closing_time)
        if self._next is not None:
            deadlines.append(self._making_time)
        idle = not self.loop.step(max(0.0, min(deadlines) - time.monotonic()) if deadlines else None)
        for supervisor in list(self._supervisors):
            try:
                supervisor.advance()
            except Exception as error:  # its own affair: others go on
                supervisor.give_up(error)
            if supervisor.over:
                self._supervisors.remove(supervisor)
                self._make_ready(supervisor.home, time.monotonic())
        if self._released and time.monotonic() >= self._closing_time:
            self._close_released()
        if idle and self._next is not None and time.monotonic() >= self._making_time:
            with contextlib.suppress(OSError, SandboxError):  # the next container is told why it gets none
                self._spares.prepare(self._next)
            self._next = None

    def _make_ready(self, home: Path, moment: float) -> None:
        """Have a spare made at that moment, or when there is nothing else to do."""
        if self._ready:
            self._next, self._making_time = home, moment

    def _release(self, descriptor: int) -> None:
        """Close it some time later, with others: a root that goes synchronises a whole file system, and whoever has
        work to do there waits, as the removal of the container.
        """
        if not self._released:
            self._closing_time = time.monotonic() + _CLOSING_DELAY
        self._released.append(descriptor)

    def _close_released(self) -> None:
        self._reap_later(vfork.close_elsewhere(self._released))
        self._released.clear()

    def _reap_later(self, child: int) -> None:
        """Wait for the child behind a pidfd, which is taken over, when it has ended."""

        def reap() -> None:
            self.loop.remove(child)
            os.waitid(os.P_PIDFD, child, os.WEXITED)
            os.close(child)

        self.loop.add(child, reap)

    def _terminate(self, *_: object) -> None:
        for supervisor in self._supervisors:
            supervisor.terminate()


def supervise(home: Path, identifier: str, lock: int, starter: socket.socket, stdio: Stdio) -> NoReturn:
    """In a process forked for it: start the container and stay with it to its end; the process ends here.

    `lock` and the descriptors are taken over, all others closed.
    """
    try:
        attached = [fd for fd in (stdio.stdin, stdio.stdout, stdio.stderr) if fd is not None]
        detach_from_caller((lock, starter.fileno(), *attached))
        if stdio.stdout is not None and stdio.stdout == stdio.stderr:
            stdio = stdio._replace(stderr=os.dup(stdio.stderr))  # each stream owns and closes its own
        process.set_name(f"hako:{identifier[:10]}")
        process.set_title(f"hako: {identifier[:12]}")  # which its children have, too, until their exec
        supervision = Supervision()
        supervision.start(home, identifier, lock, starter, stdio)
        while supervision.busy:
            supervision.step()
    except BaseException as error:
        _say(starter, error)
        os._exit(1)
    os._exit(0)


def serve(requests: socket.socket) -> None:
    """In a process made for it: start the containers that come over `requests` (see `launcher`), and supervise them
    until `requests` is closed and the last has ended.
    """
    detach_from_caller((requests.fileno(),))
    process.set_name("hako:supervisor")
    process.set_title("hako: supervisor")  # which its children have, too, until their exec
    gc.collect()
    gc.freeze()
    supervision = Supervision(ready=True)
    asked = True

    def answer() -> None:
        nonlocal asked
        received = control.receive(requests)
        if received is None:
            supervision.loop.remove(requests.fileno())
            asked = False
            return
        message, (lock, starter, *streams) = received
        stdio = Stdio(**dict(zip(message["streams"], streams, strict=True)))
        home, identifier = Path(message["home"]), str(message["id"])
        start = supervision.start_apart if _takes_long(home, identifier) else supervision.start
        start(home, identifier, lock, socket.socket(fileno=starter), stdio)

    supervision.loop.add(requests.fileno(), answer)
    while asked or supervision.busy:
        supervision.step()
    supervision.close()


def _takes_long(home: Path, identifier: str) -> bool:
    """Whether its start copies as much as an image has."""
    try:
        mounts = Containers(home / "containers").find(identifier).config().spec.mounts
        return any(fills(home, mount) for mount in mounts)
    except (OSError, SandboxError):  # which its start is to tell
        return False


def _say(starter: socket.socket, error: BaseException) -> None:
    with contextlib.suppress(OSError):
        control.send(starter, control.error_message(error))


def detach_from_caller(keep: tuple[int, ...]) -> None:
    """A session of its own, no descriptor but `keep`, the default signals."""
    gc.enable()  # a short command may have turned it off
    os.setsid()
    os.chdir("/")
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGTERM, signal.SIGXFSZ):
        signal.signal(number, _ignore)  # not SIG_IGN, which the container's command would inherit
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    null = os.open("/dev/null", os.O_RDWR)
    previous = 2
    for descriptor in sorted(set(keep)):
        if descriptor > previous + 1:
            process.close_range(previous + 1, descriptor - 1)
        previous = max(previous, descriptor)
        os.set_inheritable(descriptor, False)
    if null not in keep and null > 2:
        # It was closed above where it lay between two kept ones; open it again beyond doubt.
        null = os.open("/dev/null", os.O_RDWR)
    process.close_range(max(previous, null) + 1)
    for descriptor in range(3):
        if descriptor not in keep and descriptor != null:
            os.dup2(null, descriptor)
    if null > 2:
        os.close(null)


def _ignore(_: int, __: object) -> None:
    """A signal that means nothing to a supervisor."""
