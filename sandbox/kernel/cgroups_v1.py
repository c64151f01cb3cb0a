"""Control groups of version 1: a hierarchy per controller, on pure v1 hosts and on hybrid ones.

Called through `cgroups.Cgroup`. Only the controllers that a container needs get a directory, for each costs a tenth
of a millisecond: memory, pids, freezer and cpuacct always, the others when limited. A cgroup2 mount
beside them is left alone: into it a process must be born, which rules out `vfork`. Source:
Documentation/admin-guide/cgroup-v1/ of Linux.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.kernel import cgroups, files
from sandbox.kernel.cgroups import Cgroup, Hierarchy, Limits, keyed, lacking, number, read

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNLIMITED = 1 << 62  # the kernel shows no limit as the largest multiple of a page
# Since Linux 5.0, where a disk has that scheduler
_WEIGHTS = {"blkio.weight": "blkio.bfq.weight", "blkio.weight_device": "blkio.bfq.weight_device"}
_NAMES = {"blkio": "io"}  # what version 2 calls them
_TICKS = os.sysconf("SC_CLK_TCK")  # cpuacct.stat counts in these


class GroupV1(Cgroup):
    """Directories in several hierarchies."""

    def update(self, limits: Limits) -> None:
        """See `Cgroup.update`."""
        missing = []
        for controller, name, value in _settings(limits):
            directory = self._directories.get(controller)
            if directory is None:
                continue
            if name in _WEIGHTS and not os.path.exists(f"{directory}/{name}"):
                name = _WEIGHTS[name]  # noqa: PLW2901
            try:
                files.write(f"{directory}/{name}", value)
            except FileNotFoundError:
                if not os.path.isdir(directory):
                    raise
                missing.append("swap" if name.startswith("memory.memsw") else name)
            except OSError as error:
                if error.errno == errno.EOPNOTSUPP:  # a disk whose scheduler knows no weights
                    missing.append(name)
                    continue
                if name == "memory.limit_in_bytes" and error.errno == errno.EINVAL and limits.swap is not None:
                    # Memory must never exceed memory plus swap: a raise goes the other way round
                    with contextlib.suppress(OSError):
                        files.write(f"{directory}/memory.memsw.limit_in_bytes", str(limits.swap))
                        files.write(f"{directory}/{name}", value)
                        continue
                raise InvalidError(f"the kernel refuses {value!r} for {name}: {error.strerror}") from None
        self.warnings += cgroups.unenforced(missing, cgroups.NOT_BUILT_IN)

    def oom_kills(self) -> int:
        """See `Cgroup.oom_kills`."""
        directory = self._directories.get("memory")
        return 0 if directory is None else keyed(read(f"{directory}/memory.oom_control")).get("oom_kill", 0)

    def statistics(self) -> dict[str, int]:
        """See `Cgroup.statistics`."""
        found: dict[str, int | None] = {}
        if memory := self._directories.get("memory"):
            found["memory_usage"] = number(f"{memory}/memory.usage_in_bytes")
            found["memory_peak"] = number(f"{memory}/memory.max_usage_in_bytes")
            limit = number(f"{memory}/memory.limit_in_bytes")
            found["memory_limit"] = None if limit is None or limit >= _UNLIMITED else limit
            found["memory_inactive_file"] = keyed(read(f"{memory}/memory.stat")).get("total_inactive_file")
            found["oom_kills"] = self.oom_kills()
        if pids := self._directories.get("pids"):
            found["pids"] = number(f"{pids}/pids.current")
            found["pids_limit"] = number(f"{pids}/pids.max")
        # Where the two are mounted together, as one
        if cpuacct := self._directories.get("cpuacct") or self._directories.get("cpu"):
            found["cpu_ns"] = number(f"{cpuacct}/cpuacct.usage")
            ticks = keyed(read(f"{cpuacct}/cpuacct.stat"))
            for name in ("user", "system"):
                found[f"cpu_{name}_ns"] = ticks[name] * 1_000_000_000 // _TICKS if name in ticks else None
        if cpu := self._directories.get("cpu"):
            found["cpu_throttled_ns"] = keyed(read(f"{cpu}/cpu.stat")).get("throttled_time")
        return {name: value for name, value in found.items() if value is not None}


def create(hierarchy: Hierarchy, name: str, limits: Limits) -> Cgroup:
    """See `Cgroup.create`."""
    directories: dict[str, str] = {}
    failures: dict[str, OSError] = {}
    for controller, place in _places(hierarchy, limits):
        directory = f"{place}/{name}"
        try:
            cgroups.make(directory, place)
            if controller == "cpuset":
                _inherit_cpuset(place, name)
        except OSError as error:
            if error.errno not in cgroups.DENIED:
                raise
            failures[directory] = error
        else:
            directories[controller] = directory
    if not directories:
        for directory, failure in failures.items():
            return Cgroup({}, (cgroups.denied(directory, failure),))
        return Cgroup({}, ("limits are not enforced: the host has no cgroup controller that limits anything",))
    reason = cgroups.NO_CONTROLLER
    for path, failure in failures.items():
        reason = f"{path} cannot be made ({failure.strerror})"
    group = GroupV1(directories, lacking(limits, {_NAMES.get(name, name) for name in directories}, reason))
    if limits.devices is not None and "devices" not in directories:
        group.warnings += cgroups.unenforced(["devices"], reason)
    try:
        group.update(limits)
    except BaseException:
        group.remove()
        raise
    return group


def find(hierarchy: Hierarchy, name: str) -> Cgroup:
    """See `Cgroup.open`."""
    places = {**hierarchy.controllers, "unified": hierarchy.unified}
    found: dict[str, str] = {}
    for controller, place in places.items():
        directory = f"{place}/{name}"
        # Controllers mounted together share a directory, which is listed once
        if place and directory not in found.values() and os.path.isdir(directory):
            found[controller] = directory
    return GroupV1(found)


def _places(hierarchy: Hierarchy, limits: Limits) -> Iterator[tuple[str, str]]:
    """The controllers that matter with their mount points, each mount point once."""
    wanted = ["memory", "pids", "freezer", "cpuacct"]
    for name in ("cpu", "cpuset", "io", "hugetlb"):
        if name in limits.controllers:
            wanted.append("blkio" if name == "io" else name)
    if limits.devices is not None:
        wanted.append("devices")
    seen: set[str] = set()
    for controller in wanted:
        place = hierarchy.controllers.get(controller, "")
        if place and place not in seen:
            seen.add(place)
            yield controller, place


def _settings(limits: Limits) -> Iterator[tuple[str, str, str]]:
    """(controller, file, value) in the order in which they must be written."""
    for name, value in _memory_settings(limits):
        yield "memory", name, value
    if limits.pids is not None:
        yield "pids", "pids.max", str(limits.pids) if limits.pids > 0 else "max"
    if limits.cpu_quota is not None:
        yield "cpu", "cpu.cfs_period_us", str(cgroups.CPU_PERIOD)
        yield "cpu", "cpu.cfs_quota_us", str(limits.cpu_quota)
    if limits.cpu_shares is not None:
        yield "cpu", "cpu.shares", str(limits.cpu_shares)
    if limits.cpuset_cpus:
        yield "cpuset", "cpuset.cpus", limits.cpuset_cpus
    if limits.cpuset_mems:
        yield "cpuset", "cpuset.mems", limits.cpuset_mems
    for name, value in _disk_settings(limits):
        yield "blkio", name, value
    for size, most in limits.hugetlb:
        yield "hugetlb", f"hugetlb.{size}.limit_in_bytes", str(most)
    if limits.devices is not None:
        yield "devices", "devices.deny", "a"
        for rule in limits.devices:
            yield "devices", "devices.allow", rule


def _memory_settings(limits: Limits) -> Iterator[tuple[str, str]]:
    if limits.memory is not None:
        yield "memory.limit_in_bytes", str(limits.memory)
        yield "memory.memsw.limit_in_bytes", str(limits.swap)
    if limits.memory_reservation is not None:
        yield "memory.soft_limit_in_bytes", str(limits.memory_reservation)
    if limits.swappiness is not None:
        yield "memory.swappiness", str(limits.swappiness)
    if limits.oom_kill_disable:
        yield "memory.oom_control", "1"


def _disk_settings(limits: Limits) -> Iterator[tuple[str, str]]:
    if limits.blkio_weight is not None:
        yield "blkio.weight", str(limits.blkio_weight)
    for rate in limits.device_rates:
        if rate.weight is not None:
            yield "blkio.weight_device", f"{rate.device} {rate.weight}"
        for kind in ("read_bps", "write_bps", "read_iops", "write_iops"):
            if (value := getattr(rate, kind)) is not None:
                yield f"blkio.throttle.{kind}_device", f"{rate.device} {value}"


def _inherit_cpuset(place: str, name: str) -> None:
    """Fill in cpus and mems on the way down: a new cpuset has none, and then takes no process (cpusets.rst)."""
    above = place
    for part in name.split("/"):
        below = f"{above}/{part}"
        for file in ("cpuset.cpus", "cpuset.mems"):
            if not (read(f"{below}/{file}") or "").strip():
                files.write(f"{below}/{file}", (read(f"{above}/{file}") or "").strip())
        above = below
