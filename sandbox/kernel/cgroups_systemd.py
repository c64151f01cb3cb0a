"""The control group of an ordinary user's container: a scope of the user's own systemd.

On a host with cgroup v2 an ordinary user may make groups only below one that systemd delegates. `Scope` asks the user's
systemd for `hako-<id>.scope` in `hako.slice` with Delegate=yes when the first process is added; a scope cannot exist
empty, so until then there is no directory. systemd removes it when the last process is gone. Limits that systemd knows
are set as the scope's properties, because systemd writes its own values again whenever it reloads; the others are
written into the files. Sources: org.freedesktop.systemd1(5), systemd.resource-control(5),
https://systemd.io/CGROUP_DELEGATION.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sandbox.kernel import dbus
from sandbox.kernel.cgroups import CPU_PERIOD, Cgroup, Hierarchy, Limits, keyed, lacking, read
from sandbox.kernel.cgroups_v2 import GroupV2

if TYPE_CHECKING:
    from collections.abc import Sequence

_SLICE = "hako.slice"
_UNLIMITED = (1 << 64) - 1
_JOB_TIMEOUT = 5.0  # seconds until systemd has moved the process
_PAUSE = 0.001  # seconds


class Scope(GroupV2):
    """A group that comes into being with its first process."""

    enters = False

    def __init__(self, hierarchy: Hierarchy, name: str, limits: Limits) -> None:
        super().__init__({})
        self._hierarchy = hierarchy
        self._unit = unit(name)
        self._limits = limits

    def add(self, pid: int, *, born: bool = False) -> None:  # noqa: ARG002 - nothing is born in a scope
        """See `Cgroup.add`. Without a session that answers, the process runs without limits, and `warnings` says so."""
        try:
            if self._directories:
                _attach(self._hierarchy, self._unit, pid)
                return
            _start(self._hierarchy, self._unit, pid, self._limits)
            directory = _joined(self._hierarchy.unified, self._unit, pid)
        except OSError as error:
            if not read(f"/proc/{pid}/stat"):
                raise ProcessLookupError(3, "no such process", str(pid)) from None
            reason = error.strerror or error
            self.warnings += (f"limits are not enforced: the user's systemd gives no scope ({reason})",)
            return
        self._directories["unified"] = directory
        enabled = frozenset((read(f"{directory}/cgroup.controllers") or "").split())
        self.warnings += lacking(self._limits, enabled, "the user's systemd has not been given that controller")
        self.update(self._limits)

    def update(self, limits: Limits) -> None:
        """See `Cgroup.update`."""
        if self._directories:
            super().update(limits)

    def oom_kills(self) -> int:
        """See `Cgroup.oom_kills`."""
        return super().oom_kills() if self._directories else 0

    def statistics(self) -> dict[str, int]:
        """See `Cgroup.statistics`."""
        return super().statistics() if self._directories else {}

    def remove(self, timeout: float = 1.0) -> bool:
        """See `Cgroup.remove`. Waits until it is empty and leaves the rest to systemd, which keeps a scope whose
        directory was removed behind its back for running.
        """
        directory = self._directories.get("unified")
        deadline = time.monotonic() + timeout
        while directory is not None and keyed(read(f"{directory}/cgroup.events")).get("populated", 0):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)
        return True


def existing_scope(hierarchy: Hierarchy, name: str) -> Cgroup:
    """The scope of `name` if it runs, else a group that does nothing."""
    user = f"{hierarchy.unified}/user.slice/user-{hierarchy.uid}.slice/user@{hierarchy.uid}.service"
    directory = f"{user}/{_SLICE}/{unit(name)}"
    if not os.path.isdir(directory):
        return Cgroup({})
    scope = Scope(hierarchy, name, Limits())
    scope._directories["unified"] = directory
    return scope


def unit(name: str) -> str:
    """`hako-<id>.scope` of "hako/<id>"."""
    return name.replace("/", "-") + ".scope"


def properties(limits: Limits, pid: int) -> list[dbus.Property]:
    """The scope's properties, with the first process and the limits that systemd knows."""
    found: list[dbus.Property] = [
        ("Description", "s", "a container of Hako"),
        ("Slice", "s", _SLICE),
        ("PIDs", "au", (pid,)),
        ("Delegate", "b", True),
        ("CollectMode", "s", "inactive-or-failed"),
    ]
    if limits.memory is not None:
        swap = limits.swap
        found.append(("MemoryMax", "t", limits.memory))
        unlimited = swap is None or swap < 0
        found.append(("MemorySwapMax", "t", _UNLIMITED if unlimited else max(0, (swap or 0) - limits.memory)))
    if limits.pids is not None:
        found.append(("TasksMax", "t", limits.pids if limits.pids > 0 else _UNLIMITED))
    if limits.cpu_quota is not None:
        found.append(("CPUQuotaPerSecUSec", "t", limits.cpu_quota * 1_000_000 // CPU_PERIOD))
    return found


def _start(hierarchy: Hierarchy, name: str, pid: int, limits: Limits) -> None:
    body = dbus.Writer()
    body.text(name)
    body.text("fail")
    body.properties(properties(limits, pid))
    body.properties(())  # auxiliary units, none
    dbus.call(hierarchy.runtime_directory, hierarchy.uid, "StartTransientUnit", "ssa(sv)a(sa(sv))", body.bytes())


def _attach(hierarchy: Hierarchy, name: str, pid: int) -> None:
    """A later process: the user may not move one in from the session, the user's systemd gets it done."""
    body = dbus.Writer()
    body.text(name)
    body.text("/")
    _numbers(body, (pid,))
    dbus.call(hierarchy.runtime_directory, hierarchy.uid, "AttachProcessesToUnit", "ssau", body.bytes())


def _numbers(body: dbus.Writer, values: Sequence[int]) -> None:
    body.number("I", 4 * len(values))
    for value in values:
        body.number("I", value)


def _joined(mount: str, name: str, pid: int) -> str:
    """The scope's directory, once `pid` is in it: the answer comes before systemd's job is done."""
    deadline = time.monotonic() + _JOB_TIMEOUT
    while True:
        for line in (read(f"/proc/{pid}/cgroup") or "").splitlines():
            if line.startswith("0::") and line.endswith(f"/{name}"):
                return f"{mount}{line[3:]}"
        if time.monotonic() >= deadline:
            raise TimeoutError(110, f"{name} was not started in {_JOB_TIMEOUT:.0f} seconds")
        time.sleep(_PAUSE)
