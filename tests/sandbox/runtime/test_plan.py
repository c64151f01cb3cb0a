"""The list of operations for a container: what is in it, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.kernel import capabilities
from sandbox.kernel.cgroups import Limits
from sandbox.kernel.idmap import IdMap, IdRange
from sandbox.kernel.namespaces import Flags
from sandbox.runtime import operations as op
from sandbox.runtime.config import ContainerConfig
from sandbox.runtime.plan import Bind, Facts, capability_set, plan
from sandbox.runtime.spec import ContainerSpec, Mount, MountKind, Security

RANGE = (IdRange(0, 1_900_000_000, 65536),)
FACTS = Facts(
    folder="/home/containers/ff",
    scratch="/home/mnt",
    lowers=("/s/top/fs", "/s/base/fs"),
    ids=IdMap(RANGE, RANGE),
    idmapped=True,
    userxattr=False,
    set_groups=True,
    single_id=False,
    cgroup="hako/ff",
    limits=Limits(pids=10),
    control_groups="",
    network="none",
    attachments=(),
    binds=(),
    files=(("hostname", "host\n"),),
    warnings=("one",),
)


def _config(**fields: Any) -> ContainerConfig:
    return ContainerConfig(
        id="f" * 64,
        name="name",
        created=0.0,
        image_id="sha256:" + "0" * 64,
        layers=(),
        argv=("true",),
        environment=("A=b",),
        working_dir="/w",
        user="web",
        hostname="host",
        stop_signal="SIGTERM",
        spec=ContainerSpec(image="busybox", **fields),
    )


def _kinds(made: op.Plan) -> list[type]:
    return [type(operation) for operation in (*made.host, *made.init)]


def _namespaces(made: op.Plan) -> Flags:
    """All that a start makes on the host's side."""
    flags = Flags(0)
    for operation in made.host:
        if isinstance(operation, (op.CreateNamespaces, op.StartInit)):
            flags |= operation.namespaces
    return flags


def test_the_order_that_security_depends_on() -> None:
    """Ids are mapped before any mount; rights go after the pivot and the masks; the filter is last but exec."""
    kinds = _kinds(plan(_config(), FACTS))
    order = [
        *(op.UnshareMounts, op.CreateCgroup, op.CreateNamespaces, op.MountOverlay, op.StartInit),
        *(op.EnterCgroup, op.HoldPlace, op.BecomeRoot, op.AttachRoot, op.PivotRoot, op.MaskPath),
        *(op.EnterDirectory, op.BecomeUser, op.InstallSeccomp, op.Execute),
    ]
    positions = [kinds.index(kind) for kind in order]
    assert positions == sorted(positions)
    assert kinds[-1] is op.Execute


def test_layers_are_stacked_top_first() -> None:
    """Each layer gets a short name, in the order of the image, and the container's own directory comes last."""
    layers = [operation for operation in plan(_config(), FACTS).host if isinstance(operation, op.MountLayer)]
    assert [(layer.source, layer.name, layer.idmapped) for layer in layers] == [
        ("/s/top/fs", "l0", True),
        ("/s/base/fs", "l1", True),
        ("/home/containers/ff", "rw", True),
    ]


@pytest.mark.parametrize(("network", "own"), [("none", True), ("bridge", True), ("host", False)])
def test_a_network_namespace_unless_the_hosts(network: str, own: bool) -> None:
    """The host's network means no namespace, nothing to configure, and /sys as the host has it, read-only."""
    made = plan(_config(), FACTS._replace(network=network))
    flags = _namespaces(made)
    assert bool(flags & Flags.NEWNET) is own
    assert any(isinstance(operation, op.ConfigureNetwork) for operation in made.init) is own
    assert any(isinstance(o, op.PrepareFilesystem) and o.fstype == "sysfs" for o in made.init) is own


@pytest.mark.parametrize(("groups", "made", "bound"), [("", False, False), ("own", True, False), ("/cg", False, True)])
def test_where_control_groups_come_from(groups: str, made: bool, bound: bool) -> None:
    """A mount of the container's own namespace; the host's, read-only, with the host's namespace; or nothing."""
    result = plan(_config(), FACTS._replace(control_groups=groups))
    places = [operation.target for operation in result.init if isinstance(operation, op.PlaceMount)]
    assert ("/sys/fs/cgroup" in places) is (made or bound)
    assert any(isinstance(o, op.PrepareFilesystem) and o.fstype == "cgroup2" for o in result.init) is made
    binds = [o for o in result.host if isinstance(o, op.PrepareMount) and o.source == "/cg"]
    assert [o.read_only for o in binds] == [True] * bound


def test_every_namespace_is_new() -> None:
    """User, mount, pid, uts and ipc always, cgroup once it has entered its group."""
    made = plan(_config(), FACTS)
    flags = _namespaces(made)
    for flag in (Flags.NEWUSER, Flags.NEWNS, Flags.NEWPID, Flags.NEWUTS, Flags.NEWIPC):
        assert flags & flag
    kinds = _kinds(made)
    assert kinds.index(op.EnterCgroup) < kinds.index(op.UnshareCgroups)


def test_privileged_masks_and_filters_nothing() -> None:
    """--privileged keeps the user namespace and gives up the rest."""
    made = plan(_config(security=Security(privileged=True)), FACTS)
    kinds = _kinds(made)
    assert not {op.MaskPath, op.ReadOnlyPath, op.InstallSeccomp} & set(kinds)
    user = next(operation for operation in made.init if isinstance(operation, op.BecomeUser))
    assert user.capabilities == frozenset(capabilities.Capability)
    assert user.no_new_privileges is False
    assert _namespaces(made) & Flags.NEWUSER


def test_outer_mounts_come_before_inner_ones() -> None:
    """A mount on /a does not hide one on /a/b, whatever order they were given in."""
    mounts = (
        Mount(kind=MountKind.BIND, source="/x", target="/a/b/c"),
        Mount(kind=MountKind.TMPFS, target="/a"),
        Mount(kind=MountKind.VOLUME, source="v", target="/a/b"),
    )
    binds = (Bind("/x", "/a/b/c", False, False, True, True), Bind("/v", "/a/b", False, True, True, False))
    made = plan(_config(mounts=mounts), FACTS._replace(binds=binds))
    placed = [o.target for o in made.init if isinstance(o, op.PlaceMount)]
    assert [target for target in placed if target.startswith("/a")] == ["/a", "/a/b", "/a/b/c"]


def test_a_read_only_root_is_sealed_after_everything_is_made() -> None:
    """The working directory is made and entered before the root becomes read-only."""
    kinds = _kinds(plan(_config(read_only=True), FACTS))
    assert kinds.index(op.EnterDirectory) < kinds.index(op.SealRoot) < kinds.index(op.BecomeUser)


def test_a_single_id_leaves_out_what_needs_others() -> None:
    """An ordinary user with one id has no tty group."""
    made = plan(_config(), FACTS._replace(single_id=True, set_groups=False))
    pts = next(o for o in made.init if isinstance(o, op.PrepareFilesystem) and o.fstype == "devpts")
    assert "gid" not in dict(pts.options)


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ((), (), capabilities.DEFAULT),
        ((), ("ALL",), frozenset()),
        (("NET_ADMIN",), ("all",), frozenset({capabilities.Capability.NET_ADMIN})),
        (("ALL",), ("CAP_CHOWN",), frozenset(capabilities.Capability) - {capabilities.Capability.CHOWN}),
    ],
)
def test_capability_sets(add: tuple[str, ...], drop: tuple[str, ...], expected: frozenset[Any]) -> None:
    """--cap-add and --cap-drop as docker counts them."""
    assert capability_set(Security(capabilities_add=add, capabilities_drop=drop)) == expected


def test_a_plan_can_be_read() -> None:
    """One line an operation: side, verb, fields."""
    lines = plan(_config(), FACTS).lines()
    assert lines[0] == "host  unshare-mounts slave=no"
    assert "init  place-mount key=hosts target=/etc/hosts directory=no" in lines
    assert lines[-1] == "init  execute argv=true environment=A=b"
    assert plan(_config(), FACTS).warnings == ("one",)
