"""Many containers in one supervisor process."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox.errors import SandboxError
from sandbox.kernel import mounts
from sandbox.kernel.idmap import in_initial_namespace
from sandbox.runtime.engine import Engine
from sandbox.runtime.reclaim import reclaim
from sandbox.runtime.spec import ContainerSpec, ExecSpec, LogDriver, Mount, MountKind, Security, Stdio
from sandbox.runtime.state import Status
from tests.sandbox.runtime.readiness import has_namespaces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.root


def _spec(*command: str, **fields: object) -> ContainerSpec:
    fields.setdefault("auto_remove", True)
    return ContainerSpec(image="busybox", command=command, network="none", **fields)  # type: ignore[arg-type]


@pytest.fixture
def shared(own_home: Path) -> Iterator[Engine]:
    """An engine whose containers share a process."""
    engine = Engine(own_home, launcher=True)
    yield engine
    for config, _ in engine.containers(all=True):
        engine.remove(config.id, force=True)
    engine.close()


def _supervisor(engine: Engine, identifier: str) -> int:
    stat = Path(f"/proc/{engine.state(identifier).pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _memory(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_")) << 10


def test_all_are_in_one_process(shared: Engine) -> None:
    """Each idle one costs it some kilobytes and a handful of descriptors."""
    ids = [shared.create(_spec("sleep", "600")) for _ in range(9)]
    shared.start(ids[0])
    supervisor = _supervisor(shared, ids[0])
    memory, descriptors = _memory(supervisor), _descriptors(supervisor)
    for identifier in ids[1:]:
        shared.start(identifier)
    assert {_supervisor(shared, identifier) for identifier in ids} == {supervisor}
    assert (_memory(supervisor) - memory) / 8 < 200_000
    assert (_descriptors(supervisor) - descriptors) / 8 < 16


@pytest.mark.slow
def test_nothing_stays_of_those_that_have_ended(shared: Engine) -> None:
    """Whatever they did: no descriptor, no process, no memory of note."""
    witness = shared.create(_spec("sleep", "600"))
    shared.start(witness)
    supervisor = _supervisor(shared, witness)

    def several(count: int) -> None:
        for number in range(count):
            reader, writer = os.pipe()
            keep = bool(number % 2)
            spec = _spec(
                *("sh", "-c", "echo out; cat; exit 3"),
                open_stdin=bool(number % 3),
                auto_remove=not keep,
                log_driver=LogDriver.LOCAL if number % 4 else LogDriver.NONE,
            )
            stdin, feed = os.pipe()
            identifier = shared.create(spec)
            process = shared.start(identifier, Stdio(stdin=stdin, stdout=writer, stderr=writer))
            for descriptor in (writer, stdin, feed):
                os.close(descriptor)
            with os.fdopen(reader) as file:
                assert file.read() == "out\n"
            status = process.wait(10)
            assert status is not None
            assert status.code == 3
            if keep:
                shared.remove(identifier)
            with pytest.raises(SandboxError):
                shared.start(shared.create(_spec("nonesuch")))
            detached = shared.create(_spec("cat", open_stdin=True))
            shared.start(detached)
            shared.execute(detached, ExecSpec(command=("true",))).wait(10)
            shared.stop(detached, timeout=0)

    several(8)
    before = _descriptors(supervisor)
    memory = _memory(supervisor)
    several(24)
    assert _eventually(lambda: _descriptors(supervisor) <= before), before
    assert _memory(supervisor) - memory < 1 << 20

    def children() -> list[str]:
        return Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()

    assert _eventually(lambda: children() == [str(shared.state(witness).pid)])


@pytest.mark.skipif(not in_initial_namespace(), reason="mounts on the host")
def test_a_volume_that_is_filled_holds_nobody_up(shared: Engine) -> None:
    """An image may have any amount at the place of a volume: such a start has a process of its own, which is gone with
    its container; once the volume has something, its containers are with the others.
    """
    witness = shared.create(_spec("sleep", "600"))
    shared.start(witness)
    supervisor = _supervisor(shared, witness)
    mount = Mount(kind=MountKind.VOLUME, source="filled", target="/bin")
    first = shared.create(_spec("sh", "-c", "ls /bin > /dev/null && cat; exit 5", mounts=(mount,), open_stdin=True))
    stdin, feed = os.pipe()
    process = shared.start(first, Stdio(stdin=stdin))
    os.close(stdin)
    other = _supervisor(shared, first)
    assert other != supervisor
    assert shared.execute(first, ExecSpec(command=("true",))).wait(10) is not None
    os.close(feed)
    status = process.wait(10)
    assert status is not None
    assert status.code == 5
    assert _eventually(lambda: not Path(f"/proc/{other}").exists())
    second = shared.create(_spec("sleep", "600", mounts=(mount,)))
    shared.start(second)
    assert _supervisor(shared, second) == supervisor


def test_what_is_mounted_on_the_host_meanwhile(shared: Engine, tmp_path: Path) -> None:
    """A container sees what was mounted after the process was made, and the process keeps nothing of it busy."""
    idle = shared.create(_spec("sleep", "600"))
    shared.start(idle)
    place = tmp_path / "place"
    place.mkdir()
    mounts.mount("tmpfs", str(place), "tmpfs", 0, "")
    try:
        (place / "file").write_text("there")
        mount = Mount(kind=MountKind.BIND, source=str(place), target="/place")
        status = shared.start(shared.create(_spec("test", "-e", "/place/file", mounts=(mount,)))).wait(10)
        assert status is not None
        assert status.code == 0
        shared.start(shared.create(_spec("sleep", "600")))
    finally:
        mounts.umount(str(place), detach=False)
    assert str(place) not in Path(f"/proc/{_supervisor(shared, idle)}/mountinfo").read_text()


@pytest.mark.slow
def test_a_reader_that_stands_still_holds_nobody_else_up(shared: Engine) -> None:
    """One whose output nobody takes runs on, or ends, by itself."""
    reader, writer = os.pipe()
    full = shared.create(_spec("sh", "-c", "yes | head -c 1000000; sleep 600"))
    shared.start(full, Stdio(stdout=writer))
    os.close(writer)
    other = shared.start(shared.create(_spec("sh", "-c", "exit 5"))).wait(10)
    assert other is not None
    assert other.code == 5
    shared.remove(full, force=True)
    os.close(reader)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [True, False], ids=["several", "alone"])
def test_a_start_while_the_former_root_is_written_to_the_disk(own_home: Path, launcher: bool) -> None:
    """The root of one that has ended goes some time later, with a synchronisation of its file system: a start
    meanwhile finds all that was written, and writes more.
    """
    engine = Engine(own_home, launcher=launcher)
    script = """
if [ -e /sums ]; then sha256sum -s -c /sums || exit 9; fi
count=$(ls /data 2>/dev/null | wc -l)
mkdir -p /data
head -c 20000000 /dev/urandom > /data/$count
sha256sum /data/$count >> /sums
exit $((count + 20))
"""
    identifier = engine.create(_spec("sh", "-c", script, auto_remove=False))
    codes = []
    for _ in range(4):
        engine.start(identifier)
        status = engine.wait(identifier, 60)
        assert status is not None
        codes.append(status.code)
    assert codes == [20, 21, 22, 23]
    engine.remove(identifier)
    engine.close()


def test_from_many_threads(shared: Engine) -> None:
    """Each gets its own container's output and end."""
    results: dict[int, tuple[str, int]] = {}

    def run(number: int) -> None:
        reader, writer = os.pipe()
        process = shared.start(shared.create(_spec("sh", "-c", f"echo {number}; exit {number}")), Stdio(stdout=writer))
        os.close(writer)
        with os.fdopen(reader) as file:
            text = file.read()
        status = process.wait(20)
        assert status is not None
        results[number] = text, status.code

    threads = [threading.Thread(target=run, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: (f"{number}\n", number) for number in range(12)}


def test_it_outlives_its_engine_for_as_long_as_it_is_wanted(own_home: Path) -> None:
    """Until its last container has ended; another engine finds that."""
    first, second = Engine(own_home, launcher=True), Engine(own_home)
    identifier = first.create(_spec("sleep", "600"))
    first.start(identifier)
    supervisor = _supervisor(first, identifier)
    first.close()
    assert second.state(identifier).status is Status.RUNNING
    second.stop(identifier, timeout=0)

    def gone() -> bool:
        first.close()  # waits for it as well
        return not Path(f"/proc/{supervisor}").exists()

    assert _eventually(gone)


def test_killed_it_takes_its_containers_along(shared: Engine) -> None:
    """All are told as ended by that, and the next start has another."""
    ids = [shared.create(_spec("sleep", "600", auto_remove=False)) for _ in range(3)]
    processes = [shared.start(identifier) for identifier in ids]
    supervisor = _supervisor(shared, ids[0])
    os.kill(supervisor, signal.SIGKILL)
    for process in processes:
        with pytest.raises(SandboxError, match="was killed"):
            process.wait(10)
    assert _eventually(lambda: all(shared.state(identifier).status is Status.EXITED for identifier in ids))
    shared.start(ids[0])
    assert _supervisor(shared, ids[0]) != supervisor


def test_a_filter_that_kills_its_own_container(shared: Engine) -> None:
    """A profile that ends every process at once, also one on its way to its command, ends nobody else."""
    witness = shared.create(_spec("sleep", "600"))
    shared.start(witness)
    profile = json.dumps({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": []})
    process = shared.start(shared.create(_spec("true", security=Security(seccomp=profile))))
    status = process.wait(10)
    assert status is not None
    assert status.code > 128
    assert shared.state(witness).status is Status.RUNNING
    assert shared.execute(witness, ExecSpec(command=("true",))).wait(10) is not None


def test_it_passes_a_request_to_end_on(shared: Engine) -> None:
    """SIGTERM asks every container to end, by the signal of each."""
    first = shared.create(_spec("sh", "-c", "trap 'exit 4' TERM; while :; do sleep 0.05; done"))
    second = shared.create(_spec("sh", "-c", "trap 'exit 6' INT; while :; do sleep 0.05; done", stop_signal="INT"))
    processes = [shared.start(first), shared.start(second)]
    time.sleep(0.3)
    os.kill(_supervisor(shared, first), signal.SIGTERM)
    codes = [status.code for process in processes if (status := process.wait(10)) is not None]
    assert codes == [4, 6]


@pytest.mark.slow
def test_ends_beside_beginnings(shared: Engine) -> None:
    """A container that has ended can be removed at once, whatever is just starting beside it."""
    busy = shared.create(_spec("sleep", "600"))
    shared.start(busy)
    over = threading.Event()

    def execute() -> None:
        engine = Engine(shared.home, launcher=True)
        while not over.is_set():
            engine.execute(busy, ExecSpec(command=("true",))).wait(10)
        engine.close()

    thread = threading.Thread(target=execute)
    thread.start()
    try:
        for _ in range(40):
            reader, writer = os.pipe()
            identifier = shared.create(_spec("true", auto_remove=False))
            process = shared.start(identifier, Stdio(stdout=writer))
            os.close(writer)
            process.wait(10)
            shared.remove(identifier)
            with os.fdopen(reader) as file:
                assert file.read() == ""
    finally:
        over.set()
        thread.join()


def _ranges(engine: Engine) -> dict[str, str]:
    return {link.name: str(link.readlink()) for link in (engine.home / "ids").iterdir()}


def test_the_next_container_finds_its_namespaces_made(shared: Engine) -> None:
    """Its ids and its network are its own, and another set is made after it."""
    first = shared.create(_spec("sleep", "600"))
    shared.start(first)
    supervisor = _supervisor(shared, first)
    assert _eventually(lambda: has_namespaces(supervisor))
    second = shared.create(_spec("sleep", "600"))
    shared.start(second)
    assert len({shared.state(one).id_base for one in (first, second)}) == 2
    networks = {Path(f"/proc/{shared.state(one).pid}/ns/net").readlink() for one in (first, second)}
    assert len(networks | {Path("/proc/self/ns/net").readlink()}) == 3
    assert _eventually(lambda: has_namespaces(supervisor))


def test_ids_are_lent_to_one_container_after_the_other(shared: Engine) -> None:
    """No two that run have the same; those of one that has ended are another's, and few ranges are taken."""
    witness = shared.create(_spec("sleep", "600"))
    shared.start(witness)
    supervisor = _supervisor(shared, witness)
    bases = set()
    for _ in range(20):
        assert _eventually(lambda: has_namespaces(supervisor))
        running = [shared.create(_spec("sleep", "600")) for _ in range(2)]
        for one in running:
            shared.start(one)
        now = {shared.state(one).id_base for one in (witness, *running)}
        assert len(now) == 3
        bases |= now
        for one in running:
            shared.remove(one, force=True)
    assert len(bases) < 25
    assert len(_ranges(shared)) <= 4


def test_a_container_that_shares_namespaces_takes_none_that_are_made(shared: Engine) -> None:
    """It makes its own, with the ids that were ready; the network of the host is the host's."""
    first = shared.create(_spec("sleep", "600"))
    shared.start(first)
    supervisor = _supervisor(shared, first)
    assert _eventually(lambda: has_namespaces(supervisor))
    other = shared.create(ContainerSpec(image="busybox", command=("sleep", "600"), network="host", auto_remove=True))
    shared.start(other)
    assert Path(f"/proc/{shared.state(other).pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()


def test_what_was_ready_goes_with_the_process(shared: Engine) -> None:
    """Given back at its end; and after a SIGKILL by the next who looks."""
    container = shared.create(_spec("sleep", "600"))
    shared.start(container)
    supervisor = _supervisor(shared, container)
    assert _eventually(lambda: has_namespaces(supervisor))
    os.kill(supervisor, signal.SIGKILL)
    assert _eventually(lambda: shared.state(container).status is not Status.RUNNING)
    assert _ranges(shared) != {}
    reclaim(shared.home)
    assert _ranges(shared) == {}
    engine = Engine(shared.home, launcher=True)
    process = engine.start(engine.create(_spec("sleep", "0.3")))
    engine.close()
    process.wait(10)
    assert _eventually(lambda: _ranges(shared) == {})
