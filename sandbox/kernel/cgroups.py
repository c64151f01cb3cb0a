"""Control groups: a container's limits, its statistics, and the one sure way to end all of its processes.

The runtime detects the host's `Hierarchy` once, creates a `Cgroup` named `hako/<id>` per container, puts the first
process in and removes it at the end. The two versions are `cgroups_v1` (hybrid hosts too) and `cgroups_v2` (with
`cgroups_systemd` for an ordinary user's session). Where the host offers nothing, a `Cgroup` without paths does
nothing and says so once in `warnings`.

Sources: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of Linux, cgroups(7).
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox.kernel import files
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence

# What says that a group cannot be made here at all, as against a value that is wrong
DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENODEV})
CPU_PERIOD = 100_000  # microseconds, the kernel's and Docker's default
NO_CONTROLLER = "the host offers no such cgroup controller"
NOT_BUILT_IN = "the host's kernel does not count that"
_SMALLEST_QUOTA = 1_000  # microseconds, the kernel's
_FIRST_PAUSE, _LONGEST_PAUSE = 0.000_2, 0.01  # seconds between two looks at something that ends on its own


class DeviceRate(NamedTuple):
    """How fast one block device ("8:0") may be used, in bytes and operations a second, and its `blkio_weight`.

    `None` is no limit.
    """

    device: str
    read_bps: int | None = None
    write_bps: int | None = None
    read_iops: int | None = None
    write_iops: int | None = None
    weight: int | None = None


class Limits(NamedTuple):
    """Limits of one container; `None` and "" mean none. Names and units follow the Docker Engine API.

    `memory_swap` is memory plus swap: `None` twice the memory as Docker has it, -1 no limit. `memory_reservation` is
    the memory kept when the host runs short. `cpuset_cpus`/`cpuset_mems` are lists such as "0-3,6". `devices` are the
    v1 controller's rules ("c 1:3 rwm"); `None` leaves devices to the user namespace, which lets nobody make one.
    `blkio_weight` is 10 to 1000, `swappiness` 0 to 100, `hugetlb` has (size of a page such as "2MB", bytes).
    """

    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    cpus: float | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids: int | None = None
    devices: tuple[str, ...] | None = None
    blkio_weight: int | None = None
    device_rates: tuple[DeviceRate, ...] = ()
    hugetlb: tuple[tuple[str, int], ...] = ()
    swappiness: int | None = None
    oom_kill_disable: bool = False

    @property
    def controllers(self) -> tuple[str, ...]:
        """The controllers that something is asked of, by their names in version 2; `devices` is none there."""
        asked = {
            "memory": self.memory is not None
            or self.memory_reservation is not None
            or self.swappiness is not None
            or self.oom_kill_disable,
            "pids": self.pids is not None,
            "cpu": self.cpus is not None or self.cpu_shares is not None,
            "cpuset": bool(self.cpuset_cpus or self.cpuset_mems),
            "io": self.blkio_weight is not None or bool(self.device_rates),
            "hugetlb": bool(self.hugetlb),
        }
        return tuple(name for name, wanted in asked.items() if wanted)

    @property
    def cpu_quota(self) -> int | None:
        """Microseconds of processor time in `CPU_PERIOD`."""
        return None if self.cpus is None else max(_SMALLEST_QUOTA, round(self.cpus * CPU_PERIOD))

    @property
    def swap(self) -> int | None:
        """Memory plus swap in bytes, -1 for no limit, `None` where memory has none either."""
        if self.memory is None:
            return None
        return 2 * self.memory if self.memory_swap is None else self.memory_swap


class Hierarchy(NamedTuple):
    """Where the host's control groups are mounted.

    `version` 2: everything below `unified`. 1: a mount per controller in `controllers`, and `unified` too on a hybrid
    host, without controllers of its own. 0: nothing is mounted. `uid` is the caller's id as the host sees it,
    `runtime_directory` its $XDG_RUNTIME_DIR; with both an ordinary user's systemd is asked for a scope.
    """

    version: int
    unified: str = ""
    controllers: Mapping[str, str] = MappingProxyType({})
    uid: int = 0
    runtime_directory: str = ""

    @classmethod
    def detect(cls, mountinfo: str | None = None, environment: Mapping[str, str] = os.environ) -> Hierarchy:
        """Read `mountinfo` (the text of proc_pid_mountinfo(5); the process's own by default)."""
        if mountinfo is None:
            mountinfo = read("/proc/self/mountinfo") or ""
        unified = ""
        controllers: dict[str, str] = {}
        for line in mountinfo.splitlines():
            place, _, kind = line.partition(" - ")
            if not kind.startswith("cgroup"):
                continue
            # Octal escapes stand for blanks; a path that has one is none of the usual mount points
            target = place.split(" ")[4]
            if kind.startswith("cgroup2 "):
                unified = unified or target
            elif kind.startswith("cgroup "):
                for option in kind.split(" ")[2].split(","):
                    if option not in ("rw", "ro") and "=" not in option:
                        controllers.setdefault(option, target)
        version = 1 if "memory" in controllers or "pids" in controllers else 2 if unified else 1 if controllers else 0
        return cls(
            version=version,
            unified=unified,
            controllers=controllers,
            uid=_host_uid(),
            runtime_directory=environment.get("XDG_RUNTIME_DIR", ""),
        )


class Cgroup:
    """One container's group in all hierarchies that matter. This class itself is the one that does nothing.

    `paths` maps a controller, or "unified" for cgroup2, to its directory; it is empty where the host offers nothing.
    `warnings` has a sentence for each thing asked for that the host lacks.
    """

    enters = True  # False: a process can neither be born in it nor `enter`, somebody outside has to `add` it

    def __init__(self, directories: Mapping[str, str], warnings: tuple[str, ...] = ()) -> None:
        self._directories = dict(directories)
        self.warnings = warnings

    @staticmethod
    def create(hierarchy: Hierarchy, name: str, limits: Limits) -> Cgroup:
        """Make the group `name` ("hako/<id>") and set its limits.

        Raises `InvalidError` for a limit that the kernel refuses; a group that cannot be made is no error but a
        warning.
        """
        match hierarchy.version:
            case 1:
                from sandbox.kernel.cgroups_v1 import create  # noqa: PLC0415 - only one of the two is ever needed
            case 2:
                from sandbox.kernel.cgroups_v2 import create  # noqa: PLC0415
            case _:
                return Cgroup({}, ("limits are not enforced: the host has no cgroups mounted",))
        return create(hierarchy, name, limits)

    @staticmethod
    def open(hierarchy: Hierarchy, name: str) -> Cgroup:
        """The existing group `name`, made by another process perhaps; parts that are gone are left out."""
        match hierarchy.version:
            case 1:
                from sandbox.kernel.cgroups_v1 import find  # noqa: PLC0415
            case 2:
                from sandbox.kernel.cgroups_v2 import find  # noqa: PLC0415
            case _:
                return Cgroup({})
        return find(hierarchy, name)

    @property
    def paths(self) -> dict[str, Path]:
        """Controller -> directory."""
        return {controller: Path(directory) for controller, directory in self._directories.items()}

    def descriptor(self) -> int | None:
        """A new descriptor of the cgroup2 directory, for `clone(…, cgroup=…)`; `None` where there is none.

        Being born in a group costs nothing; moving into one makes the kernel wait for all processors (0.5 ms).
        """
        directory = self._directories.get("unified")
        return None if directory is None else os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def add(self, pid: int, *, born: bool = False) -> None:
        """Put process `pid` in. `born`: it was cloned into `descriptor()`, so cgroup2 has it already.

        Raises `ProcessLookupError` when it is gone.
        """
        for controller, directory in self._directories.items():
            if not (born and controller == "unified"):
                files.write(f"{directory}/cgroup.procs", str(pid))

    def entrances(self) -> tuple[int, ...]:
        """New descriptors through which a process puts itself in (`enter`), whatever rights it has by then.

        Of the `tasks` files: a thread that moves itself needs no lock against the whole system's forks, for which the
        kernel waits up to 20 ms in `add`. None for cgroup2, which a process is cloned into.
        """
        return tuple(
            os.open(f"{directory}/tasks", os.O_WRONLY | os.O_CLOEXEC)
            for controller, directory in self._directories.items()
            if controller != "unified"
        )

    def update(self, limits: Limits) -> None:
        """Set the limits that `limits` has; others stay. Raises `InvalidError` for one that the kernel refuses."""

    def processes(self) -> tuple[int, ...]:
        """The ids of all processes inside, groups below included, as this process's pid namespace sees them."""
        found: set[int] = set()
        for directory in self._directories.values():
            for place in _tree(directory):
                text = read(f"{place}/cgroup.procs") or ""
                found.update(int(word) for word in text.split())
        return tuple(sorted(found - {0}))  # 0: a process of another pid namespace

    def kill(self, timeout: float = 2.0) -> bool:
        """End every process inside, those that flee by forking too. True when none is left; waits `timeout` seconds at
        most.

        One write where cgroup2 is at hand (Linux 5.14). Else all are frozen, killed and thawed until nobody is left.
        """
        unified = self._directories.get("unified")
        deadline = time.monotonic() + timeout
        if unified is not None and _try_write(f"{unified}/cgroup.kill", "1"):
            return _wait(lambda: not self._populated(unified), deadline)
        while True:
            self.freeze(True, timeout=0.1)
            for pid in self.processes():
                if pid != os.getpid():
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
            self.freeze(False)
            if _wait(lambda: not self.processes(), min(deadline, time.monotonic() + 0.05)):
                return True
            if time.monotonic() >= deadline:
                return False

    def freeze(self, frozen: bool, timeout: float = 1.0) -> bool:
        """Stop all processes where they are, or let them go on. True when that is so; waits `timeout` seconds
        at most.
        """
        deadline = time.monotonic() + timeout
        unified = self._directories.get("unified")
        if unified is not None and _try_write(f"{unified}/cgroup.freeze", str(int(frozen))):
            return _wait(lambda: keyed(read(f"{unified}/cgroup.events")).get("frozen") == int(frozen), deadline)
        freezer = self._directories.get("freezer")
        if freezer is None:
            return False
        state = "FROZEN" if frozen else "THAWED"

        def settled() -> bool:
            # Written again each time: a process forked meanwhile may have kept the group in FREEZING
            asked = _try_write(f"{freezer}/freezer.state", state)
            return asked and (read(f"{freezer}/freezer.state") or "").strip() == state

        return _wait(settled, deadline)

    def oom_kills(self) -> int:
        """How many processes inside the kernel's out-of-memory killer has ended."""
        return 0

    def statistics(self) -> dict[str, int]:
        """What the kernel counts; a key is missing where the host does not count it.

        `memory_usage`, `memory_peak`, `memory_limit` (only when limited), `memory_inactive_file` (page cache that could
        go at once; Docker subtracts it from the usage), in bytes; `cpu_ns`, `cpu_user_ns`, `cpu_system_ns`,
        `cpu_throttled_ns`; `pids`, `pids_limit` (only when limited); `oom_kills`; `io_read`, `io_written` (cgroup2).
        """
        return {}

    def remove(self, timeout: float = 1.0) -> bool:
        """Remove the group, waiting for processes that are just ending. False if it is still in use after `timeout`
        seconds.

        Kills nobody: `kill` comes first. Groups that the container made below go too. Removing twice is fine.
        """
        deadline = time.monotonic() + timeout
        stuck = 0  # all are tried: one that is in use must not keep the others
        for directory in self._directories.values():
            stuck += not _wait(partial(_remove_tree, directory), deadline)
        return not stuck

    def _populated(self, directory: str) -> bool:
        return keyed(read(f"{directory}/cgroup.events")).get("populated", 0) != 0


def enter(entrances: tuple[int, ...]) -> None:
    """Put the calling process, which has one thread, in by the descriptors of `Cgroup.entrances`."""
    for descriptor in entrances:
        os.write(descriptor, b"0")


def reclaim(hierarchy: Hierarchy, parent: str, alive: Callable[[str], bool]) -> tuple[str, ...]:
    """End and remove the groups below `parent` ("hako") whose name `alive` denies; gives their names."""
    names: set[str] = set()
    for place in {*hierarchy.controllers.values(), hierarchy.unified} - {""}:
        with contextlib.suppress(OSError), os.scandir(f"{place}/{parent}") as entries:
            names.update(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    gone = tuple(sorted(name for name in names if not alive(name)))
    for name in gone:
        group = Cgroup.open(hierarchy, f"{parent}/{name}")
        group.kill()
        group.remove()
    return gone


def read(path: str) -> str | None:
    """The text of a small kernel file; `None` when it is not there (any more)."""
    try:
        return files.read(path).decode("utf-8", "replace")
    except OSError:  # ENODEV where the group was removed meanwhile
        return None


def number(path: str) -> int | None:
    """The number in a kernel file; `None` when there is none, or the word `max`."""
    text = (read(path) or "").strip()
    return int(text) if text.isdigit() else None


def keyed(text: str | None) -> dict[str, int]:
    """Lines of "key number" as a dictionary."""
    pairs = [line.split() for line in (text or "").splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].lstrip("-").isdigit()}


def make(directory: str, stop: str) -> None:
    """Make `directory` and its parents up to the existing `stop`; one that exists is fine."""
    try:
        os.mkdir(directory, 0o755)
    except FileExistsError:
        return
    except FileNotFoundError:
        parent = directory.rpartition("/")[0]
        if not parent.startswith(f"{stop}/"):
            raise
        make(parent, stop)
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o755)


def denied(what: str, error: OSError) -> str:
    """The warning for a group that could not be made."""
    return f"limits are not enforced: {what} cannot be made ({error.strerror})"


def lacking(limits: Limits, controllers: Container[str], reason: str) -> tuple[str, ...]:
    """One sentence for all limits whose controllers are not among `controllers`, for `reason`."""
    return unenforced([name for name in limits.controllers if name not in controllers], reason)


def unenforced(what: Sequence[str], reason: str) -> tuple[str, ...]:
    """One sentence for the limits `what`; nothing for none."""
    if not what:
        return ()
    names = " and ".join(filter(None, (", ".join(what[:-1]), what[-1])))
    return (f"the {names} {'limits are' if len(what) > 1 else 'limit is'} not enforced: {reason}",)


def _host_uid() -> int:
    """The caller's user id as the initial user namespace sees it, as long as only one namespace lies between."""
    uid = os.geteuid()
    for line in (read("/proc/self/uid_map") or "").splitlines():
        inside, outside, size = (int(word) for word in line.split())
        if inside <= uid < inside + size:
            return outside + uid - inside
    return uid


def _try_write(path: str, text: str) -> bool:
    try:
        files.write(path, text)
    except OSError:
        return False
    return True


def _wait(done: Callable[[], bool], deadline: float) -> bool:
    pause = _FIRST_PAUSE
    while not done():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    return True


def _tree(directory: str) -> Iterator[str]:
    """`directory` and all below it, the deepest first."""
    try:
        with os.scandir(directory) as entries:
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for path in below:
        yield from _tree(path)
    yield directory


def _remove_tree(directory: str) -> bool:
    """Whether `directory` is gone now. In the usual case one rmdir, without a look inside."""
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        for place in _tree(directory):
            try:
                os.rmdir(place)
            except FileNotFoundError:
                continue
            except OSError:
                return False
    return True
