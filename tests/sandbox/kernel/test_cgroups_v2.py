"""Control groups of version 2 as files: settings, controllers, statistics; and what a scope of systemd is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.kernel import cgroups_systemd, cgroups_v2
from sandbox.kernel.cgroups import Cgroup, DeviceRate, Hierarchy, Limits

if TYPE_CHECKING:
    from pathlib import Path


def test_settings_of_version_2() -> None:
    """Limits become the files of cgroup v2: swap apart from memory, quota and period, weight for shares."""
    limits = Limits(
        memory=100, memory_swap=130, cpus=1.5, cpu_shares=1024, cpuset_cpus="0-1", pids=7, memory_reservation=50
    )
    assert dict(cgroups_v2.settings(limits)) == {
        "memory.max": "100",
        "memory.swap.max": "30",
        "memory.low": "50",
        "pids.max": "7",
        "cpu.max": "150000 100000",
        "cpu.weight": "39",
        "cpuset.cpus": "0-1",
    }
    disks = Limits(
        blkio_weight=505,
        device_rates=(DeviceRate("8:0", read_bps=1 << 20, write_iops=7), DeviceRate("8:16", write_bps=5, weight=10)),
        hugetlb=(("2MB", 4 << 20),),
    )
    assert list(cgroups_v2.settings(disks)) == [
        ("io.weight", "default 5000"),
        ("io.max", "8:0 rbps=1048576 wiops=7"),
        ("io.weight", "8:16 1"),
        ("io.max", "8:16 wbps=5"),
        ("hugetlb.2MB.max", "4194304"),
    ]
    assert dict(cgroups_v2.settings(Limits(memory=100)))["memory.swap.max"] == "100"
    assert dict(cgroups_v2.settings(Limits(memory=100, memory_swap=-1)))["memory.swap.max"] == "max"
    assert dict(cgroups_v2.settings(Limits(pids=-1)))["pids.max"] == "max"
    assert dict(cgroups_v2.settings(Limits(cpus=0.001)))["cpu.max"] == "1000 100000"
    assert [cgroups_v2.weight(shares) for shares in (0, 2, 1024, 262144, 999999)] == [1, 1, 39, 10000, 10000]


def tree(root: Path, controllers: str, enabled: str = "") -> Hierarchy:
    """A directory that looks like a cgroup2 mount with hako/x in it (a real one makes the files itself)."""
    files = ("memory.max", "memory.swap.max", "memory.current", "pids.max", "cpu.max", "cpu.weight", "cgroup.procs")
    (root / "hako/x").mkdir(parents=True)
    for place in (root, root / "hako"):
        (place / "cgroup.controllers").write_text(controllers)
        (place / "cgroup.subtree_control").write_text(enabled)
    for name in files:
        (root / "hako/x" / name).write_text("")
    return Hierarchy(version=2, unified=str(root))


def test_version_2_writes_limits_into_the_files(tmp_path: Path) -> None:
    """Limits land in the group's own files and the process in cgroup.procs; no warning when all is enabled."""
    hierarchy = tree(tmp_path, "cpu memory pids", "cpu memory pids")
    group = Cgroup.create(hierarchy, "hako/x", Limits(memory=1 << 20, pids=9, cpus=0.5))
    group.add(4711)
    written = {
        name: (tmp_path / "hako/x" / name).read_text() for name in ("memory.max", "pids.max", "cpu.max", "cgroup.procs")
    }
    assert written == {"memory.max": str(1 << 20), "pids.max": "9", "cpu.max": "50000 100000", "cgroup.procs": "4711"}
    assert group.warnings == ()
    assert list(group.paths) == ["unified"]


def test_version_2_without_what_only_version_1_has(tmp_path: Path) -> None:
    """One warning that says so; and weights in the way of the scheduler that has them."""
    hierarchy = tree(tmp_path, "io memory pids", "io memory pids")
    (tmp_path / "hako/x/io.bfq.weight").write_text("")
    rates = (DeviceRate("8:0", weight=300),)
    group = Cgroup.create(hierarchy, "hako/x", Limits(swappiness=10, oom_kill_disable=True, device_rates=rates))
    assert group.warnings == (
        "the swappiness and oom kill disable limits are not enforced: control groups of version 2 have no such setting",
    )
    assert (tmp_path / "hako/x/io.bfq.weight").read_text() == "8:0 300"


def test_version_2_enables_controllers_from_the_top(tmp_path: Path) -> None:
    """Controllers that are offered and not yet enabled are enabled in each directory above the group, others are left
    alone.
    """
    hierarchy = tree(tmp_path, "cpu memory pids", "memory")
    Cgroup.create(hierarchy, "hako/x", Limits(pids=9))
    assert (tmp_path / "cgroup.subtree_control").read_text().startswith("+pids")
    assert (tmp_path / "hako/cgroup.subtree_control").read_text().startswith("+pids")


def test_version_2_warns_of_missing_controllers(tmp_path: Path) -> None:
    """Limits whose controllers the host does not offer are one sentence that names them."""
    hierarchy = tree(tmp_path, "pids", "pids")
    group = Cgroup.create(hierarchy, "hako/x", Limits(memory=1 << 20, pids=9, cpus=1, blkio_weight=10))
    assert group.warnings == (
        "the memory, cpu and io limits are not enforced: the host offers no such cgroup controller",
    )


def test_version_2_reads_statistics(tmp_path: Path) -> None:
    """The kernel's files become one dictionary; what is not limited or not there is left out."""
    hierarchy = tree(tmp_path, "memory pids", "memory pids")
    group = Cgroup.create(hierarchy, "hako/x", Limits())
    files = {
        "memory.current": "4096\n",
        "memory.peak": "8192\n",
        "memory.max": "max\n",
        "memory.stat": "anon 1\ninactive_file 12\n",
        "memory.events": "low 0\noom 2\noom_kill 1\n",
        "pids.current": "3\n",
        "pids.max": "100\n",
        "cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\n",
    }
    for name, text in files.items():
        (tmp_path / "hako/x" / name).write_text(text)
    assert group.statistics() == {
        "memory_usage": 4096,
        "memory_peak": 8192,
        "memory_inactive_file": 12,
        "oom_kills": 1,
        "pids": 3,
        "pids_limit": 100,
        "cpu_ns": 5000,
        "cpu_user_ns": 3000,
        "cpu_system_ns": 2000,
    }
    assert group.oom_kills() == 1


def test_properties_of_a_scope() -> None:
    """An ordinary user's scope carries the process, delegation and the limits that systemd would write itself."""
    found = {name: value for name, _, value in cgroups_systemd.properties(Limits(memory=10, pids=3, cpus=0.5), 42)}
    assert found["PIDs"] == (42,)
    assert found["Delegate"] is True
    assert (found["MemoryMax"], found["MemorySwapMax"], found["TasksMax"]) == (10, 10, 3)
    assert found["CPUQuotaPerSecUSec"] == 500_000
    assert cgroups_systemd.unit("hako/abc") == "hako-abc.scope"
