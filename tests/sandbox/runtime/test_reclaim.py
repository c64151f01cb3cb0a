"""What `reclaim` gives back of the killed, and what it leaves to the living."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from sandbox.errors import SandboxError
from sandbox.kernel import vfork
from sandbox.kernel.cgroups import Hierarchy
from sandbox.kernel.idmap import in_initial_namespace
from sandbox.kernel.process import set_child_subreaper
from sandbox.runtime import reclaim
from sandbox.runtime.engine import Engine
from sandbox.runtime.process import SupervisorGoneError
from sandbox.runtime.spec import ContainerSpec, Security
from sandbox.runtime.state import Status
from sandbox.runtime.supervision import Supervision
from tests.sandbox.image.archives import member
from tests.sandbox.kernel.children import in_child
from tests.sandbox.runtime import images
from tests.sandbox.runtime.killing import (
    ForkedLauncher,
    audited,
    children,
    descendants,
    kill_at,
    remains,
    wait_for_orphans,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

pytestmark = pytest.mark.root


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _state(pid: int) -> str:
    """The letter of ps; empty for no process at all."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def _ends(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while _state(pid) not in ("", "Z") and time.monotonic() < deadline:
        time.sleep(0.005)
    return _state(pid) in ("", "Z")


def test_a_container_that_outlives_its_supervisor(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first process that no longer has the kernel's promise to die with its supervisor is killed, by its number where
    there is no control group.
    """
    engine = Engine(own_home)
    set_user_id = member("suid/sleep", mode=0o4755, data=images.busybox(engine))
    image = images.make(engine, set_user_id)
    security = Security(no_new_privileges=False)
    spec = ContainerSpec(image=image, command=("/suid/sleep", "60"), network="none", security=security, user="1")
    identifier = engine.create(spec)
    pid = engine.start(identifier).pid
    os.kill(_parent(pid), signal.SIGKILL)
    time.sleep(0.1)
    assert _state(pid) == "S", "the kernel ended it: this test shows nothing"
    assert engine.state(identifier).status is Status.EXITED
    with monkeypatch.context() as patch:
        patch.setattr(reclaim, "hierarchy", lambda: Hierarchy(version=0))
        assert f"container {engine.config(identifier).name}: its supervisor was killed; ended" in engine.reclaim()
    assert _ends(pid)
    engine.reclaim()
    engine.close()
    assert not [path for path in Path("/sys/fs/cgroup").glob("**/hako/*") if path.name == identifier]


class _Result(NamedTuple):
    runs: int
    done: list[str]  # what `reclaim` said
    containers: list[str]  # after it
    left: list[str]  # with those removed
    lingering: list[str]


def _reclaim(home: Path, runs: int, ids: Collection[str] = ()) -> _Result:
    lingering = wait_for_orphans()
    engine = Engine(home)
    done = engine.reclaim()
    containers = []
    for config, state in engine.containers(all=True):
        containers.append(f"{config.name} {state.status}")
        engine.remove(config.id)
    return _Result(runs, done, containers, remains(home, ids), lingering)


def _spec(name: str = "", **fields: object) -> ContainerSpec:
    return ContainerSpec(image="busybox", command=("true",), name=name, **fields)  # type: ignore[arg-type]


def _kill_creations(home: Path) -> _Result:
    place = 0
    while audited(place, partial(Engine(home).create, _spec(f"place-{place}"))):
        place += 1
    return _reclaim(home, place)


def test_a_killed_creation(own_home: Path) -> None:
    """Before each of its file operations: there is a whole container with its name, or nothing."""
    result = in_child(partial(_kill_creations, own_home))
    assert result.runs > 10
    assert result.containers[0] == f"place-{result.runs} created"
    assert any("half-made container" in line for line in result.done)
    assert result.left == []


def _kill_removals(home: Path) -> _Result:
    place = 0
    while True:
        engine = Engine(home)
        identifier = engine.create(_spec(f"place-{place}"))
        engine.start(identifier).wait()
        if not audited(place, partial(engine.remove, identifier)):
            return _reclaim(home, place)
        place += 1


def test_a_killed_removal(own_home: Path) -> None:
    """Before each of its file operations: the container is as it was, with its name, or it is gone with all it had."""
    result = in_child(partial(_kill_removals, own_home))
    assert result.runs > 10
    assert all(line.startswith("place-") and line.endswith(" exited") for line in result.containers)
    assert 1 < len(result.containers) < result.runs
    assert (result.left, result.lingering) == ([], [])


def _kill_supervisors(home: Path, network: str) -> _Result:
    """At each file operation of their lives; every second container is one with auto_remove."""
    set_child_subreaper(True)
    place = 0
    containers = []

    def start(*arguments: Any) -> None:
        kill_at(place)
        plain(*arguments)

    plain, Supervision.start = Supervision.start, start  # type: ignore[assignment, method-assign]
    while True:
        engine = Engine(home)  # each has its first container in a process of its own
        try:
            identifier = engine.create(_spec(f"place-{place}", network=network, auto_remove=bool(place % 2)))
            engine.start(identifier).wait()
        except SupervisorGoneError:
            result = _reclaim(home, 1, [identifier])
            assert (result.left, result.lingering) == ([], []), place
            containers += result.containers
            place += 1
            continue
        return _reclaim(home, place)._replace(containers=containers)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["none", "bridge"])
def test_a_killed_supervisor(own_home: Path, network: str) -> None:
    """Before each of its file operations, from the first look at the configuration to the last thing given back."""
    result = in_child(partial(_kill_supervisors, own_home, network))
    assert result.runs > 30
    assert (result.left, result.lingering) == ([], [])
    states = {line.split()[0]: line.split()[1] for line in result.containers}
    assert all(states[f"place-{place}"] in ("created", "exited") for place in range(0, result.runs, 2))
    # Nothing had been made for the first ones of the others yet, and they are as they were created.
    assert all(states.get(f"place-{place}", "created") == "created" for place in range(1, result.runs, 2))
    if in_initial_namespace():
        assert not any(f"place-{place}" in states for place in range(21, result.runs, 2))


def _kill_shared_supervisors(home: Path) -> _Result:
    """At each file operation of a process that has one container after the other, and namespaces ready in between."""
    set_child_subreaper(True)
    place = 0
    while True:
        engine = Engine(home)
        engine._launching._launcher = launcher = ForkedLauncher(partial(_kill_and_wake, place))
        ids: list[str] = []
        while launcher.lives() and len(ids) < 2:
            ids.append(engine.create(_spec(network="bridge", auto_remove=True)))
            with contextlib.suppress(SandboxError):
                engine.start(ids[-1]).wait(10)
            launcher.wait_until_ready()
        killed = not launcher.lives()
        engine.close()
        result = _reclaim(home, place, ids)
        assert (result.left, result.lingering) == ([], []), place
        if not killed:
            return result
        place += 1


def _kill_and_wake(place: int) -> None:
    """A sleeper, whose namespaces are being set up, outlives a killed supervisor for one second and not for three."""
    vfork.sleeper.__wrapped__.__kwdefaults__["seconds"] = 1  # type: ignore[attr-defined]
    kill_at(place)


@pytest.mark.slow
@pytest.mark.skipif(not in_initial_namespace(), reason="namespaces are made ready only for root")
def test_a_killed_supervisor_of_several(own_home: Path) -> None:
    """Also while it makes namespaces ready, and while it hands their ids over."""
    assert in_child(partial(_kill_shared_supervisors, own_home)).runs > 60


def _kill_at_random(home: Path, seed: int) -> _Result:
    """One of the processes of a run, or all; some runs are over before."""
    set_child_subreaper(True)
    choose = random.Random(seed)  # noqa: S311
    struck = 0
    for number in range(20):
        network = choose.choice(("none", "bridge"))
        spec = _spec(network=network, auto_remove=True)._replace(command=("sleep", "0.01"))
        if os.fork() == 0:
            try:
                engine = Engine(home, launcher=bool(number % 4))
                engine.start(engine.create(spec)).wait()
            finally:
                os._exit(0)
        time.sleep(choose.uniform(0, 0.06 if number % 4 == 0 else 0.25))
        victims = descendants()
        for pid in victims if choose.random() < 0.3 else victims and [choose.choice(victims)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                struck += 1
        assert wait_for_orphans() == []
    return _reclaim(home, struck)


@pytest.mark.slow
def test_a_kill_at_any_moment(own_home: Path) -> None:
    """Nothing is left of containers that were to be removed at their end, but such as nobody had begun to start."""
    seed = random.randrange(1 << 32)  # noqa: S311
    result = in_child(partial(_kill_at_random, own_home, seed))
    assert result.runs > 3, seed
    assert (result.left, result.lingering) == ([], []), seed
    assert all(line.endswith(" created") for line in result.containers), seed


def _reclaim_together(home: Path) -> _Result:
    set_child_subreaper(True)
    engine = Engine(home)
    ids = [engine.create(_spec(auto_remove=True)._replace(command=("sleep", "600"))) for _ in range(6)]
    for identifier in ids:
        engine.start(identifier)
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    pids = []
    works: list[Callable[[], object]] = [*[engine.reclaim] * 3, *[partial(_live, home)] * 2]
    for work in works:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    failures = [pid for pid in pids if os.waitpid(pid, 0)[1] != 0]
    result = _reclaim(home, len(failures), ids)
    return result._replace(done=[line for line in result.done if "left for the next time" in line])


def _live(home: Path) -> None:
    engine = Engine(home)
    for _ in range(8):
        status = engine.start(engine.create(_spec(name=f"n{os.getpid()}", auto_remove=True))).wait(30)
        if status is None or status.code != 0:
            raise AssertionError(status)


@pytest.mark.slow
def test_a_power_loss(own_home: Path) -> None:
    """Files that were written just before it are empty: a container whose configuration is lost is taken away with all
    it had, one whose state is lost has ended. Nobody who lists containers before that stumbles.
    """
    engine = Engine(own_home)
    lost = {}
    for name, files in (
        ("config", ["config.json"]),
        ("state", ["state.json"]),
        ("both", ["config.json", "state.json"]),
    ):
        identifier = engine.create(_spec(name))
        if name != "config":
            engine.start(identifier).wait()
        for file in files:
            (own_home / "containers" / identifier / file).write_bytes(b"")
        lost[name] = identifier
    (own_home / "ids/4000").symlink_to(lost["both"])
    assert [(config.name, state.status, state.lost) for config, state in engine.containers(all=True)] == [
        ("state", Status.EXITED, True)
    ]
    done = engine.reclaim()
    assert sorted(line.partition(":")[0] for line in done if line.startswith("container ")) == sorted(
        f"container {name}" for name in (lost["config"][:12], lost["both"][:12], "state")
    )
    assert {path.name for path in (own_home / "containers").iterdir()} == {"names", lost["state"]}
    assert lost["both"] not in {str(link.readlink()) for link in (own_home / "ids").iterdir()}
    again = engine.create(_spec("both"))
    for identifier in (again, lost["state"]):
        engine.start(identifier).wait()
        engine.remove(identifier)
    assert engine.reclaim() == []
    engine.close()


def test_several_reclaim_at_once(own_home: Path) -> None:
    """Three engines that meet at the same remains do not stumble, and two that run containers do not notice."""
    assert in_child(partial(_reclaim_together, own_home)) == _Result(0, [], [], [], [])


def _kill_engine_with_launcher(home: Path) -> tuple[list[str], _Result]:
    set_child_subreaper(True)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            engine = Engine(home, launcher=True)
            identifier = engine.create(_spec("kept", auto_remove=True)._replace(command=("sleep", "600")))
            engine.start(identifier)
            os.write(writer, b"started")
            time.sleep(60)
        finally:
            os._exit(0)
    os.close(writer)
    os.read(reader, 7)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    engine = Engine(home)
    container = engine.state("kept").pid
    deadline = time.monotonic() + 5
    while set(descendants()) != {_parent(container), container} and time.monotonic() < deadline:
        os.waitpid(-1, os.WNOHANG)
        time.sleep(0.01)
    kept = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in descendants()]
    assert engine.reclaim() == []
    engine.remove("kept", force=True)
    return kept, _reclaim(home, 0)


def test_a_killed_engine_with_a_launcher(own_home: Path) -> None:
    """The launcher and its spare supervisor end with it, its containers go on."""
    kept, result = in_child(partial(_kill_engine_with_launcher, own_home))
    assert len(kept) == 2
    assert "sleep" in kept
    assert result == _Result(0, [], [], [], [])
