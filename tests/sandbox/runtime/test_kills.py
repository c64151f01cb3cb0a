"""SIGKILL of each process of a start before each of its operations: one `reclaim` takes away whatever that leaves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import pytest

from sandbox.kernel.idmap import in_initial_namespace
from sandbox.network.records import PortRequest
from sandbox.runtime import operations as op
from sandbox.runtime.engine import Engine
from sandbox.runtime.spec import ContainerSpec, Device, Mount, MountKind, Shared
from sandbox.runtime.state import Status
from tests.sandbox.kernel.children import in_child
from tests.sandbox.runtime.killing import HOST, INIT, Killer, Outcome, everything, remains

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.slow]


class _Result(NamedTuple):
    outcomes: list[Outcome]
    containers: list[str]  # after `reclaim`, but such as have only been created
    left: list[str]


# What a start can be asked to do besides; a volume, because it has to be filled.
_MUCH: dict[str, Any] = {
    "devices": (Device("/dev/zero", "/dev/other"),),
    "ulimits": ("nofile=64",),
    "oom_score": 100,
    "mounts": (
        Mount(kind=MountKind.VOLUME, target="/etc", anonymous=True),
        Mount(kind=MountKind.TMPFS, target="/memory"),
    ),
    "sysctls": {"net.ipv4.ip_unprivileged_port_start": "77"},
    "read_only": True,
    "terminal": True,
}
# They last no longer than the process that carries them out, or are another's beginning, which has tests of its own.
_ELSEWHERE = {op.MakeSystem}
_WITH_OTHERS = {op.JoinNamespaces, op.ShareMemory}

_IN_NETWORKS = {op.ConnectNetwork, op.OpenResolver}  # of "made"; a plan that is only printed has no places there yet


def _fields(network: str, **further: Any) -> dict[str, Any]:
    fields = {"network": network, "auto_remove": True} | further
    if network == "made":  # with a resolver and a published port
        fields["ports"] = (PortRequest(80), PortRequest(53, "udp"))
    return fields


def test_every_operation_is_disturbed(engine: Engine) -> None:
    """What a plan can have, one of the plans here has."""
    spec = partial(ContainerSpec, image="busybox", command=("true",))
    plans = [engine.plan(spec(**_fields("none", **extra))) for extra in ({}, _MUCH, {"init": True})]
    found = {type(operation) for plan in plans for operation in (*plan.host, *plan.init)}
    every = {*get_args(op.HostOperation), *get_args(op.InitOperation)}
    assert every - found - _ELSEWHERE - _IN_NETWORKS - _WITH_OTHERS == set()


def _kill(home: Path, victim: str, side: int, network: str, *, many: bool = False, **further: Any) -> _Result:
    """Kill at each place in turn, reclaim once."""
    killer = Killer(home, many=many)
    fields = _fields(network, **further)
    if network == "made":
        Engine(home).networks.create("made")
    before = everything(home)
    command = ("sleep", "600") if victim == "supervisor" else ("true",)
    count = killer.count(side, **fields)
    outcomes = [
        killer.run(side, place, victim, command=command, name=f"place-{place}", **fields) for place in range(count)
    ]
    engine = Engine(home)
    engine.reclaim()
    containers = []
    for config, _ in engine.containers(all=True):
        if f"container file {config.id}" in before:
            continue
        # Without id ranges and control groups nothing tells the first moments of a start from none at all.
        if in_initial_namespace() or not engine._containers.find(config.id).is_pristine():
            containers.append(config.name)
        engine.remove(config.id)
    return _Result(outcomes, containers, remains(home, killer.ids, besides=before))


def _all_seen(result: _Result) -> set[str | None]:
    """What the engines saw, after the checks that all runs have in common."""
    assert len(result.outcomes) > 15
    assert [outcome for outcome in result.outcomes if outcome.lingering] == []
    assert result.containers == []
    assert result.left == []
    return {outcome.seen for outcome in result.outcomes}


@pytest.mark.parametrize("side", [HOST, INIT], ids=["host", "init"])
def test_the_engine_is_killed(own_home: Path, side: int) -> None:
    """The container starts and ends, or its start is undone, without the process that asked for it."""
    assert _all_seen(in_child(partial(_kill, own_home, "engine", side, "bridge"))) == {None}


@pytest.mark.parametrize("network", ["none", "bridge", "made"])
@pytest.mark.parametrize("side", [HOST, INIT], ids=["host", "init"])
def test_the_supervisor_is_killed(own_home: Path, side: int, network: str) -> None:
    """Init ends by itself, wherever it is, and the engine hears of it."""
    seen = _all_seen(in_child(partial(_kill, own_home, "supervisor", side, network)))
    assert all(words is not None and "supervisor" in words and "died at the start" in words for words in seen)


@pytest.mark.parametrize("network", ["none", "bridge"])
def test_init_is_killed(own_home: Path, network: str) -> None:
    """The start fails and says why, or the container has ended by SIGKILL, where the command could have run already."""
    seen = _all_seen(in_child(partial(_kill, own_home, "init", INIT, network)))
    # A forked one is told apart from its command by nothing but the moment; one in the supervisor's memory takes that
    # along.
    assert all(words is not None and ("died at the start" in words or words == "137") for words in seen)


@pytest.mark.parametrize("much", [_MUCH, {"init": True}], ids=["much", "child"])
@pytest.mark.parametrize("side", [HOST, INIT], ids=["host", "init"])
def test_a_start_with_much_to_do(own_home: Path, side: int, much: dict[str, Any]) -> None:
    """Devices, limits, volumes, a terminal, a first process of ours: nothing of them stays either."""
    seen = _all_seen(in_child(partial(_kill, own_home, "supervisor", side, "none", **much)))
    assert all(words is not None and "supervisor" in words for words in seen), seen


@pytest.mark.parametrize("side", [HOST, INIT], ids=["host", "init"])
def test_beside_another_container(own_home: Path, side: int) -> None:
    """Who was to share with another leaves that alone, with ids that are its own again."""
    engine = Engine(own_home)
    spec = ContainerSpec(image="busybox", command=("sleep", "600"), network="none", name="neighbour")
    other = engine.create(spec._replace(shared=Shared(ipc_shareable=True)))
    engine.start(other)
    shared = Shared(pid_container=other, ipc_container=other)
    try:
        _all_seen(in_child(partial(_kill, own_home, "supervisor", side, "none", shared=shared)))
        assert engine.state(other).status is Status.RUNNING
    finally:
        engine.remove(other, force=True)
        engine.close()


@pytest.mark.parametrize(
    ("victim", "side", "network"),
    [
        ("engine", HOST, "bridge"),
        ("engine", INIT, "none"),
        ("supervisor", HOST, "none"),
        ("supervisor", HOST, "made"),
        ("supervisor", INIT, "bridge"),
        ("init", INIT, "bridge"),
    ],
)
def test_with_a_supervisor_of_many(own_home: Path, victim: str, side: int, network: str) -> None:
    """The same where the process has had another container, and has namespaces ready for this one, whose ids are
    the process's.
    """
    seen = _all_seen(in_child(partial(_kill, own_home, victim, side, network, many=True)))
    if victim == "engine":
        assert seen == {None}
    else:
        assert all(words is not None and ("supervisor" in words or words == "137") for words in seen), seen
