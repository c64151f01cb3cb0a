"""Killing one process of a container's start at a chosen instruction, and looking for what it leaves.

A test runs `Killer` in a process of its own (`in_child`), which nothing else shares: there it patches the tables of
operations before anything is started, so that engine, supervisor and init, all forked from it, stop before a chosen
operation and wait there for SIGKILL or to go on. They meet in shared memory, because a supervisor closes every
descriptor it inherits, and because a first process of a pid namespace cannot kill itself. Orphans become children of
that process, so none is overlooked, whatever it calls itself.

A container's supervisor is a process of its own, or one that is shared and has had a container before: then namespaces
are ready for the one whose start is disturbed.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.errors import SandboxError
from sandbox.kernel import polling, process
from sandbox.kernel.idmap import in_initial_namespace
from sandbox.network.networks import Networks
from sandbox.runtime import host, init, spares, supervision
from sandbox.runtime.engine import Engine
from sandbox.runtime.facts import hierarchy
from sandbox.runtime.launcher import Launcher
from sandbox.runtime.spec import ContainerSpec
from tests.sandbox.runtime.readiness import has_namespaces

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

HOST, INIT = 0, 1  # the sides of a plan
NEVER = -1
_PATIENCE = 10.0  # seconds: more than anything here takes
_WALL = 0x4000_0000
_FILE_EVENTS = ("open", "os.", "fcntl.", "socket.bind", "socket.connect", "shutil.")

_COUNTS, _SIDE, _STOP, _REACHED, _SUPERVISOR, _ARMED = 0, 2, 3, 4, 5, 6  # places on the board


class Outcome(NamedTuple):
    """One run: where it was killed, what its engine saw of it (`None` when it was the engine that died), and the
    processes that did not end by themselves.
    """

    place: int
    seen: str | None
    lingering: list[str]


class ForkedLauncher(Launcher):
    """The process that has all supervisors of an engine, forked from this one, whose changes it has: `first` is called
    in it. Whoever makes it has a single thread.
    """

    def __init__(self, first: Callable[[], None] | None = None) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                if first is not None:
                    first()
                supervision.serve(theirs)
            finally:
                os._exit(0)
        theirs.close()
        self._pidfd = os.pidfd_open(self._pid)

    def lives(self) -> bool:
        """Whether it has not ended yet."""
        return not polling.readable(self._pidfd, 0)

    def wait_until_ready(self) -> None:
        """Until it has namespaces for the next container; at once where it has died, or makes none."""
        deadline = time.monotonic() + _PATIENCE
        while in_initial_namespace() and self.lives() and not has_namespaces(self._pid):
            if time.monotonic() > deadline:
                raise TimeoutError("no namespaces are ready")
            time.sleep(0.001)


class Killer:
    """Runs containers in `home` and kills; for the process that makes it only. With `many` one process has several
    containers.
    """

    def __init__(self, home: Path, *, many: bool = False) -> None:
        self.home = home
        self._many = many
        self.ids: list[str] = []
        process.set_child_subreaper(True)
        self._board = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")
        self._board[_STOP] = NEVER
        hierarchy()
        for side, table in ((HOST, host._ACTIONS), (INIT, init._ACTIONS)):
            for operation, action in table.items():
                table[operation] = self._stopping(side, action)

    def count(self, side: int, **fields: Any) -> int:
        """How many operations a start has on one side; an undisturbed run to the container's end."""
        self.run(HOST, NEVER, "engine", command=("true",), **fields)
        return self._board[_COUNTS + side]

    def run(self, side: int, place: int, victim: str, **fields: Any) -> Outcome:
        """Create and start a container, and kill the `victim` before operation number `place` of a side."""
        board = self._board
        board[_COUNTS + HOST] = board[_COUNTS + INIT] = board[_REACHED] = board[_SUPERVISOR] = 0
        board[_SIDE], board[_STOP], board[_ARMED] = side, place, not self._many
        reader, writer = os.pipe()
        engine = os.fork()
        if engine == 0:
            os.close(reader)
            self._engine(writer, ContainerSpec(image="busybox", **fields))
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            self._wait_and_kill(engine, victim)
            identifier, _, seen = pipe.read().decode().partition(" ")
        self.ids.append(identifier)
        return Outcome(place, seen or None, wait_for_orphans())

    def _engine(self, report: int, spec: ContainerSpec) -> None:
        try:
            engine = Engine(self.home)
            if self._many:
                self._precede(engine)
            identifier = engine.create(spec)
            os.write(report, identifier.encode())
            try:
                status = engine.start(identifier).wait(_PATIENCE)
                seen = "no end" if status is None else str(status.code)
            except SandboxError as error:
                seen = error.message
            os.write(report, b" " + seen.encode())
        finally:
            os._exit(0)

    def _precede(self, engine: Engine) -> None:
        """A container before the one that matters, until its end."""
        engine._launching._launcher = launcher = ForkedLauncher()
        spec = ContainerSpec(image="busybox", command=("true",), network="none", auto_remove=True)
        engine.start(engine.create(spec)).wait(_PATIENCE)
        launcher.wait_until_ready()
        self._board[_ARMED] = 1

    def _stopping(self, side: int, action: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        board = self._board

        def stop_and_act(subject: Any, operation: Any) -> Any:
            if not board[_ARMED]:
                return action(subject, operation)
            if side == HOST:
                board[_SUPERVISOR] = os.getpid()
            place = board[_COUNTS + side]
            board[_COUNTS + side] = place + 1
            if board[_SIDE] == side and board[_STOP] == place:
                board[_REACHED] = 1
                while board[_REACHED]:
                    time.sleep(0.0002)
            return action(subject, operation)

        return stop_and_act

    def _wait_and_kill(self, engine: int, victim: str) -> None:
        """Until the engine has ended."""
        deadline = time.monotonic() + _PATIENCE
        pid = 0
        while pid == 0:
            if self._board[_REACHED]:
                supervisor = self._board[_SUPERVISOR]
                target = {"engine": engine, "supervisor": supervisor, "init": _first_process(supervisor)}[victim]
                if target:
                    os.kill(target, signal.SIGKILL)
                self._board[_REACHED] = 0
            if time.monotonic() > deadline:
                os.kill(engine, signal.SIGKILL)
            pid, _ = os.waitpid(engine, os.WNOHANG)
            time.sleep(0.0002)


def _first_process(supervisor: int) -> int:
    """The supervisor's child that has a process namespace of its own; 0 where there is none."""
    for pid in children(supervisor):
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            if len(status.partition("\nNSpid:")[2].partition("\n")[0].split()) > 1:
                return pid
    return 0


def kill_at(place: int) -> None:
    """Have this process, not its children, kill itself at its work number `place` with a file, before that is done.

    The events are those of sys.addaudithook; what goes past Python's own functions (mounts) makes none.
    """
    count = 0
    pid = os.getpid()

    def hook(event: str, _: tuple[object, ...]) -> None:
        nonlocal count
        if event.startswith(_FILE_EVENTS) and os.getpid() == pid:
            if count == place:
                signal.raise_signal(signal.SIGKILL)
            count += 1

    sys.addaudithook(hook)


def audited(place: int, function: Callable[[], object]) -> bool:
    """Run `function` in a forked child that kills itself at `place`; whether it came so far."""
    pid = os.fork()
    if pid == 0:
        try:
            kill_at(place)
            function()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def wait_for_orphans() -> list[str]:
    """Reap all children of this process, also adopted ones; those that do not end."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG | _WALL)[0]:
                continue
        except ChildProcessError:
            return []
        if time.monotonic() > deadline:
            return [f"process {pid}: {_command(pid)}" for pid in children()]
        time.sleep(0.001)


def remains(home: Path, ids: Collection[str] = (), *, besides: Collection[str] = ()) -> list[str]:
    """What is left of containers that should be gone, `besides` what was there before (`everything`); waits for what
    the kernel takes away by and by.
    """
    deadline = time.monotonic() + _PATIENCE
    while (found := [one for one in everything(home, ids) if one not in besides]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def everything(home: Path, ids: Collection[str] = ()) -> list[str]:
    """What containers have of the host at this moment."""
    found = [f"container file {path.name}" for path in (home / "containers").glob("*") if path.name != "names"]
    found += [f"name {path.name}" for path in (home / "containers/names").glob("*")]
    owners = {path.name: str(path.readlink()) for path in (home / "ids").glob("*")}
    found += [f"id range {number} of {owner}" for number, owner in owners.items() if not spares.lives(owner)]
    if os.geteuid() == 0 and (home / "networks").exists():
        table = Networks(home / "networks")._bridges.table
        for ports in ("ports", "ports_at"):
            command = ["nft", "list", "map", "inet", table, ports]
            # An ordinary user's PATH has no /usr/sbin
            paths = {"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
            shown = subprocess.run(command, env=paths, capture_output=True, check=False)
            found += [f"published {ports}"] if b"elements" in shown.stdout else []
    for network in Networks(home / "networks").list():
        folder = home / "networks" / network.name
        found += [f"address {path.name}" for path in folder.glob("addresses/*")]
        found += [f"place of {path.name}" for path in folder.glob("containers/*")]
        found += [f"port {path.name}" for path in Path(f"/sys/class/net/{network.bridge}/brif").glob("*")]
        found += [path.name for path in Path("/sys/class/net").glob(f"{network.bridge[:-1]}v*")]
    found += [f"half-made network {path.name}" for path in (home / "networks").glob(".*-*")]
    for place, groups, _ in os.walk("/sys/fs/cgroup"):  # others come and go, which it does not mind
        found += [
            f"{place}/{group}" for group in groups if any(identifier in group for identifier in ids if identifier)
        ]
    found += _mounts(home)
    return found


def _mounts(home: Path) -> list[str]:
    found = []
    for table in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            text = table.read_text(errors="replace")
            found += [f"{table}: {line}" for line in text.splitlines() if str(home) in line]
    return found


def children(pid: int | None = None) -> list[int]:
    """Of this process, or of `pid`; zombies too."""
    parent = os.getpid() if pid is None else pid
    try:
        return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except FileNotFoundError:
        return []


def descendants(pid: int | None = None) -> list[int]:
    """Children, their children and so on."""
    return [found for child in children(pid) for found in (child, *descendants(child))]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "?"
