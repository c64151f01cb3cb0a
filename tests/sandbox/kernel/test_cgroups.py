"""Control groups: what is detected, limits that hold, killing that leaves nobody, and hosts that offer less."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import InvalidError
from sandbox.kernel import cgroups_v2
from sandbox.kernel.cgroups import Cgroup, DeviceRate, Hierarchy, Limits, enter, reclaim
from sandbox.kernel.namespaces import clone
from tests.sandbox.kernel.children import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HYBRID = """\
23 1 8:1 / / rw,relatime - ext4 /dev/root rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
HOST = Hierarchy.detect()


def variants() -> list[object]:
    """The host's hierarchy, and on a hybrid host what it would be with one half only."""
    found = [pytest.param(HOST, id="host")]
    if HOST.version == 1 and HOST.unified:
        alone = Hierarchy(version=1, controllers=HOST.controllers)
        found.append(pytest.param(alone, id="v1"))
        found.append(pytest.param(Hierarchy(version=2, unified=HOST.unified), id="v2"))
    return list(found)


def start(body: Callable[[], object], group: Cgroup, *, born: bool = False) -> int:
    """A child inside `group`, which runs `body` once it is in."""
    reading, writing = os.pipe()
    place = group.descriptor() if born else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = clone(0, cgroup=place)[0] if place is not None else os.fork()
    if pid == 0:
        try:
            os.close(writing)
            os.read(reading, 1)
            body()
        finally:
            os._exit(1)
    os.close(reading)
    group.add(pid, born=place is not None)
    os.close(writing)
    if place is not None:
        os.close(place)
    return pid


def status(pid: int) -> int:
    """The exit code of a child, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def until(done: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether `done` came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done():
            return True
        time.sleep(0.005)
    return done()


@pytest.fixture
def parent() -> Iterator[str]:
    """A name for the test's own groups; whatever is left below it afterwards is a failure."""
    name = f"hakotest-{uuid.uuid4().hex[:8]}"
    yield name
    left = []
    for place in {*HOST.controllers.values(), HOST.unified} - {""}:
        with contextlib.suppress(FileNotFoundError):
            left += [entry.path for entry in os.scandir(f"{place}/{name}") if entry.is_dir()]
            for path in left:
                Cgroup({"x": path}).kill()
                Cgroup({"x": path}).remove()
            Path(f"{place}/{name}").rmdir()
    assert left == []


def test_detects_a_hybrid_host() -> None:
    """Controllers by name, also those mounted together, and the cgroup2 mount beside them."""
    found = Hierarchy.detect(HYBRID, {})
    assert (found.version, found.unified) == (1, "/sys/fs/cgroup/unified")
    assert dict(found.controllers) == {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "memory": "/sys/fs/cgroup/memory",
        "xattr": "/sys/fs/cgroup/systemd",
    }


def test_detects_a_unified_host() -> None:
    """One cgroup2 mount is version 2; the session's directory is kept for an ordinary user."""
    found = Hierarchy.detect(UNIFIED, {"XDG_RUNTIME_DIR": "/run/user/1000"})
    assert (found.version, found.unified, found.runtime_directory) == (2, "/sys/fs/cgroup", "/run/user/1000")


def test_a_host_without_cgroups_does_nothing_and_says_so() -> None:
    """Nothing mounted: the group has no paths, every operation is harmless, and there is one warning."""
    group = Cgroup.create(Hierarchy.detect("", {}), "hako/x", Limits(pids=5, memory=1 << 20))
    assert group.paths == {}
    assert len(group.warnings) == 1
    assert "no cgroups" in group.warnings[0]
    group.add(os.getpid())
    assert group.descriptor() is None
    assert group.processes() == ()
    assert group.statistics() == {}
    assert group.oom_kills() == 0
    assert group.kill()
    assert not group.freeze(True)
    assert group.remove()


@pytest.mark.parametrize("version", [1, 2])
def test_a_hierarchy_that_cannot_be_written_does_nothing_and_says_why(version: int) -> None:
    """A read-only or missing mount is one warning with the path and the reason, whatever was asked for."""
    hierarchy = Hierarchy(version=version, unified="/proc/no", controllers={"memory": "/proc/no", "pids": "/proc/no"})
    group = Cgroup.create(hierarchy, "hako/x", Limits(pids=5, memory=1 << 20, cpus=1))
    assert group.paths == {}
    assert len(group.warnings) == 1
    assert "/proc/no/hako/x" in group.warnings[0]


@pytest.mark.root
@pytest.mark.parametrize("hierarchy", variants())
@pytest.mark.parametrize("born", [False, True])
def test_a_group_holds_counts_and_goes(hierarchy: Hierarchy, born: bool, parent: str) -> None:
    """A process is put in (or born in), seen and counted, and after its end the group is removed from every
    hierarchy.
    """
    group = Cgroup.create(hierarchy, f"{parent}/a", Limits())
    assert group.paths
    assert all(path.is_dir() for path in group.paths.values())

    def body() -> None:
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass
        time.sleep(60)

    pid = start(body, group, born=born)
    assert group.processes() == (pid,)
    assert until(lambda: group.statistics().get("cpu_ns", 0) > 10_000_000)
    if hierarchy.version == 1 or "memory" in cgroups_v2.enable(hierarchy.unified, f"{parent}/a", frozenset())[0]:
        assert group.statistics()["memory_usage"] >= 0
        assert group.statistics()["pids"] == 1
    assert Cgroup.open(hierarchy, f"{parent}/a").processes() == (pid,)
    assert not group.remove(timeout=0.01)
    assert group.kill()
    assert status(pid) == -signal.SIGKILL
    assert group.remove()
    assert not any(path.exists() for path in group.paths.values())
    assert group.remove()
    assert Cgroup.open(hierarchy, f"{parent}/a").paths == {}


@pytest.mark.root
@pytest.mark.parametrize("hierarchy", variants())
def test_kill_ends_daemons_and_bombs(hierarchy: Hierarchy, parent: str) -> None:
    """Children of other sessions, doubly forked, deaf to signals, and a bomb that forks without end: none is left."""
    group = Cgroup.create(hierarchy, f"{parent}/bomb", Limits(pids=60))

    def body() -> None:
        for number in range(1, 32):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
            if os.fork() != 0:
                os._exit(0)
            time.sleep(60)
        limit = time.monotonic() + 20
        while time.monotonic() < limit:
            with contextlib.suppress(OSError):
                if os.fork() == 0:
                    time.sleep(0.002)
            time.sleep(0.002)

    pid = start(body, group)
    assert until(lambda: len(group.processes()) > 20)
    assert group.kill(timeout=10)
    assert status(pid) == -signal.SIGKILL
    assert group.processes() == ()
    assert group.remove()


@pytest.mark.root
@pytest.mark.parametrize("hierarchy", variants())
def test_freeze_stops_and_thaws(hierarchy: Hierarchy, parent: str) -> None:
    """A frozen process makes no progress, a thawed one goes on, a frozen one can be killed."""
    group = Cgroup.create(hierarchy, f"{parent}/cold", Limits())
    reading, writing = os.pipe()

    def body() -> None:
        while True:
            os.write(writing, b".")
            time.sleep(0.001)

    pid = start(body, group)
    os.set_blocking(reading, False)

    def progress() -> int:
        with contextlib.suppress(BlockingIOError):
            return len(os.read(reading, 65536))
        return 0

    assert until(lambda: progress() > 0)
    assert group.freeze(True)
    progress()
    time.sleep(0.03)
    assert progress() == 0
    assert group.freeze(False)
    assert until(lambda: progress() > 0)
    assert group.freeze(True)
    assert group.kill()
    assert status(pid) == -signal.SIGKILL
    assert group.remove()
    os.close(reading)
    os.close(writing)


@pytest.mark.root
def test_groups_made_below_are_killed_and_removed(parent: str) -> None:
    """A container that made groups of its own does not keep its group from going."""
    group = Cgroup.create(HOST, f"{parent}/outer", Limits())
    below = [path / "inner" / "core" for path in group.paths.values()]
    for path in below:
        path.mkdir(parents=True)
    pid = start(lambda: time.sleep(60), group)
    for path in below:
        (path / "cgroup.procs").write_text(str(pid))
    assert group.processes() == (pid,)
    assert group.kill()
    assert status(pid) == -signal.SIGKILL
    assert group.remove()


@pytest.mark.root
def test_the_pids_limit_holds(parent: str) -> None:
    """The task after the last allowed one fails with EAGAIN."""
    group = Cgroup.create(HOST, f"{parent}/few", Limits(pids=4))
    if group.warnings:
        pytest.skip(group.warnings[0])

    def body() -> None:
        made = 0
        with contextlib.suppress(BlockingIOError):
            while made < 20:
                if os.fork() == 0:
                    time.sleep(20)
                made += 1
        os._exit(made)

    pid = start(body, group)
    assert status(pid) == 3
    assert group.statistics()["pids_limit"] == 4
    assert group.kill()
    assert group.remove()


@pytest.mark.root
def test_the_memory_limit_ends_who_exceeds_it(parent: str) -> None:
    """A process that takes more than its share is killed by the kernel, and the group knows it was for memory."""
    group = Cgroup.create(HOST, f"{parent}/small", Limits(memory=24 << 20, memory_swap=24 << 20))
    if any("memory" in warning for warning in group.warnings):
        pytest.skip(group.warnings[0])
    assert group.statistics()["memory_limit"] == 24 << 20

    def body() -> None:
        taken = []
        for _ in range(200):
            taken.append(bytearray(b"x" * (1 << 20)))
        os._exit(0)

    pid = start(body, group)
    assert status(pid) == -signal.SIGKILL
    assert group.oom_kills() == 1
    assert group.statistics()["oom_kills"] == 1
    assert group.remove()


@pytest.mark.root
def test_limits_can_be_changed_both_ways(parent: str) -> None:
    """Raising and lowering memory works although memory may never exceed memory plus swap."""
    group = Cgroup.create(HOST, f"{parent}/change", Limits(memory=32 << 20, memory_swap=32 << 20, pids=5))
    if any("not enforced" in warning for warning in group.warnings):
        pytest.skip(group.warnings[0])
    for size in (64 << 20, 16 << 20):
        group.update(Limits(memory=size, memory_swap=size, pids=size >> 20))
        found = group.statistics()
        assert (found["memory_limit"], found["pids_limit"]) == (size, size >> 20)
    assert group.remove()


@pytest.mark.root
def test_cpu_limits_are_set(parent: str) -> None:
    """Quota, shares and the set of processors are accepted, and the group takes a process then."""
    group = Cgroup.create(HOST, f"{parent}/cpu", Limits(cpus=0.5, cpu_shares=512, cpuset_cpus="0"))
    if group.warnings:
        pytest.skip(group.warnings[0])
    pid = start(lambda: os._exit(len(os.sched_getaffinity(0))), group)
    assert status(pid) == 1
    directory = group.paths.get("cpu") or group.paths["unified"]
    quota = directory / "cpu.cfs_quota_us"
    assert (quota.read_text() if quota.exists() else (directory / "cpu.max").read_text()).split()[0] == "50000"
    assert group.remove()


@pytest.mark.root
@pytest.mark.parametrize("hierarchy", variants())
def test_only_listed_devices_can_be_used(hierarchy: Hierarchy, parent: str) -> None:
    """Null whole and zero for reading; nothing else, by the controller's list or by a program."""
    group = Cgroup.create(hierarchy, f"{parent}/devices", Limits(devices=("c 1:3 rwm", "c 1:5 r", "b 8:* rw")))
    if group.warnings:
        pytest.skip(group.warnings[0])
    wanted = (
        ("/dev/null", os.O_RDWR),
        ("/dev/zero", os.O_RDONLY),
        ("/dev/zero", os.O_RDWR),
        ("/dev/full", os.O_RDONLY),
    )

    def body() -> None:
        allowed = 0
        for place, (path, flags) in enumerate(wanted):
            with contextlib.suppress(PermissionError):
                os.close(os.open(path, flags))
                allowed |= 1 << place
        os._exit(allowed)

    pid = start(body, group)
    assert status(pid) == 0b0011
    assert group.remove()


@pytest.mark.root
@pytest.mark.skipif(HOST.version != 1, reason="version 2 has no such settings")
def test_what_only_version_1_has(parent: str) -> None:
    """How readily memory is swapped out, and waiting in place of an end for want of memory."""
    limits = Limits(memory=1 << 25, swappiness=10, oom_kill_disable=True)
    group = Cgroup.create(HOST, f"{parent}/memory", limits)
    directory = group.paths["memory"]
    assert (directory / "memory.swappiness").read_text() == "10\n"
    assert (directory / "memory.oom_control").read_text().startswith("oom_kill_disable 1\n")
    assert group.remove()


@pytest.mark.root
def test_disk_limits_are_set(parent: str) -> None:
    """Rates of a disk are the group's; a weight that no scheduler of the host knows is one warning."""
    disk = next((path for path in Path("/sys/block").glob("*/dev") if not path.parent.name.startswith("loop")), None)
    if disk is None:
        pytest.skip("no disk")
    number = disk.read_text().strip()
    rate = DeviceRate(number, read_bps=1 << 20, write_iops=100)
    group = Cgroup.create(HOST, f"{parent}/io", Limits(device_rates=(rate,), blkio_weight=300))
    if any("the io limit" in warning for warning in group.warnings):
        pytest.skip(group.warnings[0])
    assert all("weight" in warning for warning in group.warnings)
    directory = group.paths.get("blkio") or group.paths["unified"]
    if HOST.version == 1:
        assert (directory / "blkio.throttle.read_bps_device").read_text().split() == [number, str(1 << 20)]
        assert (directory / "blkio.throttle.write_iops_device").read_text().split() == [number, "100"]
    else:
        shown = (directory / "io.max").read_text().split()
        assert shown == [number, "rbps=1048576", "wbps=max", "riops=max", "wiops=100"]
    assert group.remove()


@pytest.mark.root
def test_a_limit_that_the_kernel_refuses_is_an_error_and_leaves_nothing(parent: str) -> None:
    """A processor that the host lacks is named in the error; the half-made group is gone."""
    if HOST.version == 1 and "cpuset" not in HOST.controllers:
        pytest.skip("no cpuset controller")
    with pytest.raises(InvalidError, match="9999"):
        Cgroup.create(HOST, f"{parent}/wrong", Limits(cpuset_cpus="9999"))
    assert Cgroup.open(HOST, f"{parent}/wrong").paths == {}


@pytest.mark.root
def test_adding_a_process_that_is_gone(parent: str) -> None:
    """The error says that the process does not exist."""
    group = Cgroup.create(HOST, f"{parent}/late", Limits())
    with pytest.raises(ProcessLookupError):
        group.add(2**22 - 1)
    assert group.remove()


@pytest.mark.root
def test_reclaim_ends_what_nobody_owns(parent: str) -> None:
    """Groups of dead containers are emptied and removed, those of living ones stay."""
    alive = Cgroup.create(HOST, f"{parent}/alive", Limits())
    dead = Cgroup.create(HOST, f"{parent}/dead", Limits())
    keeper = start(lambda: time.sleep(60), alive)
    orphan = start(lambda: time.sleep(60), dead)
    assert reclaim(HOST, parent, lambda name: name == "alive") == ("dead",)
    assert status(orphan) == -signal.SIGKILL
    assert alive.processes() == (keeper,)
    assert reclaim(HOST, parent, lambda _: False) == ("alive",)
    assert status(keeper) == -signal.SIGKILL


@pytest.mark.root
@pytest.mark.parametrize("hierarchy", variants())
@alone
def test_a_process_enters_by_itself(hierarchy: Hierarchy, parent: str) -> None:
    """A child that was born in the cgroup2 group moves itself into the others, without anybody's waiting."""
    group = Cgroup.create(hierarchy, f"{parent}/own", Limits())
    reading, writing = os.pipe()
    place, entrances = group.descriptor(), group.entrances()
    pid = clone(0, cgroup=place)[0]
    if pid == 0:
        try:
            os.setresuid(1, 1, 1)  # what it may do by itself does not matter
            enter(entrances)
            os.write(writing, b"x")
            time.sleep(60)
        finally:
            os._exit(1)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    for descriptor in (*entrances, *(() if place is None else (place,))):
        os.close(descriptor)
    for path in group.paths.values():
        assert (path / "cgroup.procs").read_text().split() == [str(pid)]
    assert group.kill()
    assert status(pid) == -signal.SIGKILL
    assert group.remove()


@pytest.mark.skipif(
    os.geteuid() == 0 or HOST.version != 2 or not Path(HOST.runtime_directory, "bus").is_socket(),
    reason="needs an ordinary user with a systemd session and cgroup v2",
)
def test_an_ordinary_user_gets_a_scope() -> None:
    """The user's systemd gives a scope with the limits; later processes join it, and when all are ended it is gone."""
    name = f"hakotest/{uuid.uuid4().hex[:8]}"
    group = Cgroup.create(HOST, name, Limits(pids=20, memory=64 << 20, cpus=0.5))
    assert group.paths == {}  # until the first process
    first = start(lambda: time.sleep(60), group)
    second = start(lambda: time.sleep(60), group)
    assert group.warnings == ()
    assert until(lambda: group.processes() == (first, second))
    assert group.statistics()["pids_limit"] == 20
    assert group.statistics()["memory_limit"] == 64 << 20
    found = Cgroup.open(HOST, name)
    assert found.paths == group.paths
    assert found.kill()
    assert status(first) == status(second) == -signal.SIGKILL
    assert found.remove()
    assert until(lambda: not any(path.exists() for path in group.paths.values()))
