"""Control groups of version 2: one hierarchy for all controllers.

Called through `cgroups.Cgroup`. Root makes `hako/<id>` below the mount and enables the controllers it needs on the way
down, nothing else of the host is touched. An ordinary user may not; the user's systemd is then asked for a scope
(`cgroups_systemd`), which exists from the first process on. Source: Documentation/admin-guide/cgroup-v2.rst of Linux.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.kernel import cgroups, files
from sandbox.kernel.cgroups import Cgroup, Hierarchy, Limits, keyed, lacking, number, read

if TYPE_CHECKING:
    from collections.abc import Iterator

_RATES = ("rbps", "wbps", "riops", "wiops")  # in io.max


class GroupV2(Cgroup):
    """One directory."""

    def update(self, limits: Limits) -> None:
        """See `Cgroup.update`."""
        directory = self._directories["unified"]
        enabled = (read(f"{directory}/cgroup.controllers") or "").split()
        missing = []
        for name, value in settings(limits):
            if name == "io.weight" and not os.path.exists(f"{directory}/{name}"):
                name, value = "io.bfq.weight", _bfq_weight(value, limits)  # noqa: PLW2901
            try:
                files.write(f"{directory}/{name}", value)
            except FileNotFoundError:
                # Where the controller is not enabled `lacking` has said so; of an enabled one this part is optional
                if name.partition(".")[0] in enabled:
                    missing.append("swap" if name == "memory.swap.max" else name)
            except OSError as error:
                if error.errno == errno.EOPNOTSUPP:  # a disk whose scheduler knows no weights
                    missing.append(name)
                    continue
                raise InvalidError(f"the kernel refuses {value!r} for {name}: {error.strerror}") from None
        if limits.devices is not None:
            from sandbox.kernel.cgroups_devices import limit  # noqa: PLC0415 - seldom asked for

            try:
                limit(directory, limits.devices)
            except OSError as error:
                self.warnings += cgroups.unenforced(["devices"], f"the kernel takes no program ({error.strerror})")
        self.warnings += cgroups.unenforced(missing, cgroups.NOT_BUILT_IN)
        asked = {"swappiness": limits.swappiness is not None, "oom kill disable": limits.oom_kill_disable}
        gone = [name for name, wanted in asked.items() if wanted]
        self.warnings += cgroups.unenforced(gone, "control groups of version 2 have no such setting")

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
    enabled, reason = enable(hierarchy.unified, name, _wanted(limits))
    group = GroupV2({"unified": directory}, lacking(limits, enabled, reason))
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


def enable(top: str, name: str, wanted: frozenset[str]) -> tuple[frozenset[str], str]:
    """Enable the controllers `wanted` for `top`/`name`, from the top down. Gives those that it has then, and why the
    others are missing.

    A directory that holds processes itself (the top of a nested container) refuses, EBUSY; then the group goes without.
    """
    parents = [top]
    for part in name.split("/")[:-1]:
        parents.append(f"{parents[-1]}/{part}")
    enabled = frozenset((read(f"{parents[-1]}/cgroup.subtree_control") or "").split())
    reason = cgroups.NO_CONTROLLER
    if wanted <= enabled:
        return enabled, reason
    for parent in parents:
        offered = frozenset((read(f"{parent}/cgroup.controllers") or "").split())
        enabled = frozenset((read(f"{parent}/cgroup.subtree_control") or "").split())
        # One write each: of several in one write all fail when one does
        for controller in sorted((wanted & offered) - enabled):
            try:
                files.write(f"{parent}/cgroup.subtree_control", f"+{controller}")
            except OSError as error:
                busy = error.errno == errno.EBUSY
                reason = f"{parent} {'has processes of its own' if busy else f'cannot be changed ({error.strerror})'}"
    return frozenset((read(f"{parents[-1]}/cgroup.subtree_control") or "").split()), reason


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
    if limits.blkio_weight is not None:
        yield "io.weight", f"default {io_weight(limits.blkio_weight)}"
    for rate in limits.device_rates:
        if rate.weight is not None:
            yield "io.weight", f"{rate.device} {io_weight(rate.weight)}"
        rates = (rate.read_bps, rate.write_bps, rate.read_iops, rate.write_iops)
        found = [f"{key}={value}" for key, value in zip(_RATES, rates, strict=True) if value is not None]
        if found:
            yield "io.max", " ".join([rate.device, *found])
    for size, most in limits.hugetlb:
        yield f"hugetlb.{size}.max", str(most)


def weight(shares: int) -> int:
    """v1's cpu shares (2…262144) as v2's weight (1…10000), by the formula that Docker and systemd share."""
    return 1 + (max(2, min(262_144, shares)) - 2) * 9_999 // 262_142


def _bfq_weight(setting: str, limits: Limits) -> str:
    """What io.weight is told ("default 5000", "8:0 5000"), for the scheduler that has v1's range."""
    device = setting.partition(" ")[0]
    weights = {rate.device: rate.weight for rate in limits.device_rates}
    return f"{device} {weights.get(device, limits.blkio_weight)}"


def io_weight(weight: int) -> int:
    """v1's weight of a disk's time (10…1000) as v2's (1…10000), by runc's formula."""
    return 1 + (max(10, min(1000, weight)) - 10) * 9_999 // 990


def _wanted(limits: Limits) -> frozenset[str]:
    """Memory and pids always, for statistics and OOM; the others cost every process of the host and come when asked
    for.
    """
    return frozenset({"memory", "pids", *limits.controllers})
