"""Control groups of version 2: one hierarchy for all controllers.

Called through `cgroups.Cgroup`. Root makes `hako/<id>` below the mount and enables the controllers it needs on the way
down, nothing else of the host is touched. An ordinary user may not; the user's systemd is then asked for a scope
(`cgroups_systemd`), which exists from the first process on. Source: Documentation/admin-guide/cgroup-v2.rst of Linux.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.kernel import cgroups
from sandbox.kernel.cgroups import Cgroup, Hierarchy, Limits, keyed, lacking, number, read, write

if TYPE_CHECKING:
    from collections.abc import Iterator


class GroupV2(Cgroup):
    """One directory."""

    def update(self, limits: Limits) -> None:
        """See `Cgroup.update`."""
        directory = self._directories["unified"]
        for name, value in settings(limits):
            try:
                write(f"{directory}/{name}", value)
            except FileNotFoundError:
                # The controller is not enabled, which `lacking` has said; swap is the memory controller's, but optional
                if name == "memory.swap.max" and number(f"{directory}/memory.current") is not None:
                    self.warnings += ("the swap limit is not enforced: the kernel does not account for swap",)
            except OSError as error:
                raise InvalidError(f"the kernel refuses {value!r} for {name}: {error.strerror}") from None

    def oom_kills(self) -> int:
        """See `Cgroup.oom_kills`."""
        return keyed(read(f"{self._directories['unified']}/memory.events")).get("oom_kill", 0)

    def statistics(self) -> dict[str, int]:
        """See `Cgroup.statistics`."""
        directory = self._directories["unified"]
        times = keyed(read(f"{directory}/cpu.stat"))
        found = {
            "memory_usage": number(f"{directory}/memory.current"),
            "memory_peak": number(f"{directory}/memory.peak"),  # Linux 5.19
            "memory_limit": number(f"{directory}/memory.max"),
            "memory_inactive_file": keyed(read(f"{directory}/memory.stat")).get("inactive_file"),
            "pids": number(f"{directory}/pids.current"),
            "pids_limit": number(f"{directory}/pids.max"),
            "oom_kills": keyed(read(f"{directory}/memory.events")).get("oom_kill"),
            **_transfers(read(f"{directory}/io.stat")),
        }
        for key, name in (
            ("usage_usec", "cpu_ns"),
            ("user_usec", "cpu_user_ns"),
            ("system_usec", "cpu_system_ns"),
            ("throttled_usec", "cpu_throttled_ns"),
        ):
            found[name] = times[key] * 1000 if key in times else None
        return {name: value for name, value in found.items() if value is not None}


def _transfers(text: str | None) -> dict[str, int | None]:
    """Bytes read and written on all devices, of io.stat: lines of "8:0 rbytes=1 wbytes=2 …"."""
    if text is None:
        return {}
    counts = [word.partition("=") for line in text.splitlines() for word in line.split()[1:]]
    return {
        name: sum(int(count) for key, _, count in counts if key == short and count.isdigit())
        for name, short in (("io_read", "rbytes"), ("io_written", "wbytes"))
    }


def create(hierarchy: Hierarchy, name: str, limits: Limits) -> Cgroup:
    """See `Cgroup.create`."""
    directory = f"{hierarchy.unified}/{name}"
    try:
        cgroups.make(directory, hierarchy.unified)
    except OSError as error:
        if error.errno not in cgroups.DENIED:
            raise
        if hierarchy.uid != 0 and hierarchy.runtime_directory:
            from sandbox.kernel.cgroups_systemd import Scope  # noqa: PLC0415 - an ordinary user's case only

            return Scope(hierarchy, name, limits)
        return Cgroup({}, (cgroups.denied(directory, error),))
    enabled = enable(hierarchy.unified, name, _wanted(limits))
    group = GroupV2({"unified": directory}, lacking(limits, enabled))
    try:
        group.update(limits)
    except BaseException:
        group.remove()
        raise
    return group


def find(hierarchy: Hierarchy, name: str) -> Cgroup:
    """See `Cgroup.open`."""
    directory = f"{hierarchy.unified}/{name}"
    if os.path.isdir(directory):
        return GroupV2({"unified": directory})
    if hierarchy.uid != 0 and hierarchy.runtime_directory:
        from sandbox.kernel.cgroups_systemd import existing_scope  # noqa: PLC0415 - an ordinary user's case only

        return existing_scope(hierarchy, name)
    return Cgroup({})


def enable(top: str, name: str, wanted: frozenset[str]) -> frozenset[str]:
    """Enable the controllers `wanted` for `top`/`name`, from the top down. Gives those that it has then.

    A directory that holds processes itself (the top of a nested container) refuses, EBUSY; then the group goes without.
    """
    parents = [top]
    for part in name.split("/")[:-1]:
        parents.append(f"{parents[-1]}/{part}")
    enabled = frozenset((read(f"{parents[-1]}/cgroup.subtree_control") or "").split())
    if wanted <= enabled:
        return enabled
    for parent in parents:
        offered = frozenset((read(f"{parent}/cgroup.controllers") or "").split())
        enabled = frozenset((read(f"{parent}/cgroup.subtree_control") or "").split())
        # One write each: of several in one write all fail when one does
        for controller in sorted((wanted & offered) - enabled):
            with contextlib.suppress(OSError):
                write(f"{parent}/cgroup.subtree_control", f"+{controller}")
    return frozenset((read(f"{parents[-1]}/cgroup.subtree_control") or "").split())


def settings(limits: Limits) -> Iterator[tuple[str, str]]:
    """(file, value) for each limit."""
    if limits.memory is not None:
        yield "memory.max", str(limits.memory)
        swap = limits.swap
        yield "memory.swap.max", "max" if swap is None or swap < 0 else str(max(0, swap - limits.memory))
    if limits.memory_reservation is not None:
        yield "memory.low", str(limits.memory_reservation)
    if limits.pids is not None:
        yield "pids.max", str(limits.pids) if limits.pids > 0 else "max"
    if limits.cpu_quota is not None:
        yield "cpu.max", f"{limits.cpu_quota} {cgroups.CPU_PERIOD}"
    if limits.cpu_shares is not None:
        yield "cpu.weight", str(weight(limits.cpu_shares))
    if limits.cpuset_cpus:
        yield "cpuset.cpus", limits.cpuset_cpus
    if limits.cpuset_mems:
        yield "cpuset.mems", limits.cpuset_mems


def weight(shares: int) -> int:
    """v1's cpu shares (2…262144) as v2's weight (1…10000), by the formula that Docker and systemd share."""
    return 1 + (max(2, min(262_144, shares)) - 2) * 9_999 // 262_142


def _wanted(limits: Limits) -> frozenset[str]:
    """Memory and pids always, for statistics and OOM; the others cost every process of the host and come when asked
    for.
    """
    wanted = {"memory", "pids"}
    if limits.cpus is not None or limits.cpu_shares is not None:
        wanted.add("cpu")
    if limits.cpuset_cpus or limits.cpuset_mems:
        wanted.add("cpuset")
    return frozenset(wanted)
