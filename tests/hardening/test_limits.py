"""A container that takes what it can get: processes, memory, time to end. The host, and other containers, go on."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxError
from sandbox.image.config import Healthcheck
from sandbox.runtime.spec import ContainerSpec, Mount, MountKind, Resources, Shared
from sandbox.runtime.state import Status

if TYPE_CHECKING:
    from sandbox.runtime.engine import Engine
    from tests.hardening.conftest import Probe, ProbeFields, Start
    from tests.sandbox.runtime.conftest import Run

pytestmark = pytest.mark.root


def _require(warnings: tuple[str, ...], word: str) -> None:
    for warning in warnings:
        if word in warning or "limits are not enforced" in warning:
            pytest.skip(warning)


def _namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/pid").readlink())


def _processes_in(namespace: str) -> list[int]:
    """Processes of a process namespace, seen from the host."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if _namespace(int(path.name)) == namespace:
                found.append(int(path.name))
        except OSError:  # gone, or none that we may look at
            continue
    return found


_BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""


def test_a_fork_bomb(engine: Engine, run: Run, probe_fields: ProbeFields) -> None:
    """It stays below its limit, the host and other containers can fork, and one SIGKILL ends it."""
    resources = Resources(pids=40)
    identifier = engine.create(ContainerSpec(**probe_fields(_BOMB), network="none", resources=resources))
    _require(run("true", resources=resources).warnings, "pids")
    process = engine.start(identifier)
    namespace = _namespace(process.pid)
    counts = [0]
    begin = time.monotonic()
    while (passed := time.monotonic() - begin) < 0.5 or (max(counts) <= 10 and passed < 30):
        counts.append(len(_processes_in(namespace)))
    assert 10 < max(counts) <= 40
    assert run("echo fine").output == "fine\n"
    engine.kill(identifier)
    status = process.wait(30)
    assert status is not None
    assert status.code == 137
    assert _processes_in(namespace) == []
    engine.remove(identifier)


def test_everybody_has_a_limit_of_processes(engine: Engine, start: Start) -> None:
    """Also who did not ask for one."""
    statistics = engine.statistics(start().id)
    if not statistics:
        pytest.skip("the host has no control groups for us")
    assert 0 < statistics["pids_limit"] <= 4096


def test_a_memory_bomb(run: Run) -> None:
    """The kernel ends it at its limit: code 137, and the flag that says why."""
    result = run("tail -c 1000000000 /dev/zero", resources=Resources(memory=32 << 20), command=("tail", "/dev/zero"))
    _require(result.warnings, "memory")
    assert (result.status.code, result.status.oom) == (137, True)


def test_a_memory_bomb_beside_the_first_process(run: Run) -> None:
    """A child that is killed for memory sets the flag too, and the first process goes on."""
    result = run("tail /dev/zero; echo $?", resources=Resources(memory=32 << 20))
    _require(result.warnings, "memory")
    assert result.output == "137\n"
    assert (result.status.code, result.status.oom) == (0, True)


@pytest.mark.parametrize("place", ["/dev/shm/x", "/dev/x", "/t/x"])
def test_memory_in_files(run: Run, place: str) -> None:
    """A tmpfs is bounded by its size and counts for the container."""
    tmpfs = Mount(kind=MountKind.TMPFS, target="/t")
    script = f"head -c 100000000 /dev/zero > {place}; stat -c %s {place}"
    result = run(script, mounts=(tmpfs,), resources=Resources(memory=48 << 20))
    _require(result.warnings, "memory")
    assert result.status.oom or int(result.output) < 100_000_000


def test_the_smallest_memory(run: Run) -> None:
    """Too little to start with: it ends or says so, and nothing hangs."""
    for size in (1 << 20, 4 << 20):
        try:
            result = run("true", resources=Resources(memory=size))
        except Exception as error:
            assert type(error).__module__ == "sandbox.errors"
        else:
            assert result.status.code in (0, 137)


def test_memory_of_another_container(run: Run, start: Start) -> None:
    """What is written to it counts for who writes (CVE-2024-3056)."""
    other = start(shared=Shared(ipc_shareable=True))
    shared = Shared(ipc_container=other.id)
    script = "head -c 60000000 /dev/zero > /dev/shm/large; stat -c %s /dev/shm/large"
    result = run(script, shared=shared, resources=Resources(memory=24 << 20))
    _require(result.warnings, "memory")
    assert int(result.output or 0) < 60_000_000
    assert other.execute("rm", "/dev/shm/large")[0] == 0


def test_the_smallest_memory_beside_others(engine: Engine, start: Start) -> None:
    """Containers share a supervisor's process, whose memory a first process has until its command runs: the kernel that
    ends one for want of memory does not end the others.
    """
    witness = start()
    for kilobytes in (16, 32, 64, 80, 96, 128, 256):
        spec = ContainerSpec(
            image="busybox",
            command=("true",),
            network="none",
            auto_remove=True,
            resources=Resources(memory=kilobytes << 10),
        )
        with contextlib.suppress(SandboxError):
            engine.start(engine.create(spec)).wait(60)
        assert engine.state(witness.id).status is Status.RUNNING, kilobytes
    assert witness.execute("echo", "lives") == (0, "lives\n")


def test_a_check_of_health_that_prints_without_end(engine: Engine, start: Start) -> None:
    """Its beginning is kept, and the supervisor does not grow by what is printed (CVE-2022-31030)."""
    check = Healthcheck(test=("CMD-SHELL", "yes; true"), interval=int(2e8), timeout=int(1e9), retries=1)
    container = start(healthcheck=check)
    supervisor = int(Path(f"/proc/{container.pid}/stat").read_text().rpartition(")")[2].split()[1])
    before = _memory(supervisor)
    deadline = time.monotonic() + 30
    while not (log := (engine.state(container.id).health or {}).get("Log")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert log
    assert len(log[0]["Output"].partition(": ")[2]) <= 4096
    assert _memory(supervisor) - before < 8 << 20
    assert container.execute("true")[0] == 0


def _memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


def test_what_a_container_started_ends_with_it(engine: Engine, start: Start) -> None:
    """Children in sessions of their own that ignore every signal are gone when `wait` returns."""
    script = """
for i in 1 2 3 4 5; do
  setsid sh -c 'trap "" TERM HUP INT QUIT USR1; (trap "" TERM; sleep 600) & sleep 600' > /dev/null 2>&1 &
done
sleep 0.2; exit 3
"""
    spec = ContainerSpec(image="busybox", command=("sh", "-c", script), network="none")
    identifier = engine.create(spec)
    process = engine.start(identifier)
    namespace = _namespace(process.pid)
    status = process.wait(20)
    assert status is not None
    assert status.code == 3
    assert _processes_in(namespace) == []
    container = start(command=("sh", "-c", script.replace("exit 3", "wait")))
    begin = time.monotonic()
    engine.stop(container.id, timeout=0.2)
    assert time.monotonic() - begin < 5


def test_a_container_that_holds_its_output_open(run: Run) -> None:
    """A child that keeps the pipe does not keep the container, nor its reader."""
    begin = time.monotonic()
    result = run("setsid sleep 600 & echo done")
    assert result.output == "done\n"
    assert time.monotonic() - begin < 10


def test_processor_time(probe: Probe) -> None:
    """Half a processor gets about half of one."""
    program = """
import time
begin, used = time.monotonic(), time.process_time()
while time.monotonic() - begin < 1.0: pass
print(time.process_time() - used)
"""
    result = probe(program, resources=Resources(cpus=0.2))
    _require(result.warnings, "cpu")
    assert float(result.output) < 0.5
